"""Limits of an environment file that options of the command line have, too."""

MAX_BROKERS = 100
MAX_PARTITIONS = 100_000
