"""Images to train and measure on, in parts that share none: a search never sees what a report is made from."""
