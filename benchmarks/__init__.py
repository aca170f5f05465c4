"""Measurements, each with its command: `python -m benchmarks.<name>`."""
