"""Costs: from a question to what a placement is charged for, and what it costs by definition."""
