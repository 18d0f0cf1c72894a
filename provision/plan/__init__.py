"""What must change: actions with causes, and the pure planners."""
