"""What is done to an environment that is there."""
