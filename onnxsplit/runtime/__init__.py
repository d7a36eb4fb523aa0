"""Halves across a network: Open Inference Protocol clients and servers, links, control."""
