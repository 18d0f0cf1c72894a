"""What the project is made with and does not ship."""
