"""What the user writes: models, a loader that knows positions, and the checks."""
