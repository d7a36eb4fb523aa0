"""Split training: the loop that makes both halves learn, and its state."""
