"""What is said to a running cluster."""
