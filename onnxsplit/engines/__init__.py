"""Engines: what runs a model on a tier, each behind the same session port."""
