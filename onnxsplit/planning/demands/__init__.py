"""Demands: what a placement must keep to, budgets among it, and what clashes."""
