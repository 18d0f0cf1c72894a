"""What is left over on a machine and in an engine: found by kinds, each in one entry of `kinds.KINDS`, and removed."""
