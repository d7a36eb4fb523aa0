"""Cuts: from charges to the best placement, by minimum cut, blocks, enumeration or program."""
