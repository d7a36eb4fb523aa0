"""mincut."""
