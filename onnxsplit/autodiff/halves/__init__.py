"""Training graphs: loss, backward pass and optimizer in one graph, and its division by tier."""
