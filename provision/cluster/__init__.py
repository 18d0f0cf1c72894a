"""What the environment means: resolved values, rendered files, the catalogue."""
