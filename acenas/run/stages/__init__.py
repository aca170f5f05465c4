"""The stages of a run, each a file of plain functions: labels, candidates, search, report, final."""
