"""What the environment means: resolved values and rendered files."""
