"""What must change."""
