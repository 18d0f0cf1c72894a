"""Apply a plan: the walk through its actions, the work on nodes, rolling restarts."""
