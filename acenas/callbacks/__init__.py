"""What a search and Lightning report, while they run, to W&B, CSV and the terminal."""
