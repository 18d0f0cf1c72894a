"""State kept on this machine."""
