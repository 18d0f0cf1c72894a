"""Plans: actions with causes, and the pure planners."""
