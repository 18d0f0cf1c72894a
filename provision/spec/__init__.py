"""The environment file: models, a loader that records positions, and the checks."""
