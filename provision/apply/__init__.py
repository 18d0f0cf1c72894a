"""Doing it: the walk of a plan, the work on nodes, rolling restarts."""
