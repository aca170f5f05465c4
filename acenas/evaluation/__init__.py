"""What training an architecture shows: looked up in a benchmark table, or measured by training it from scratch."""
