"""Measurements of `provision` beside what people use instead: `python -m benchmarks --help`."""
