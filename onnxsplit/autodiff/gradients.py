"""What differentiation yields: nodes of both directions, and the names of the gradients."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from onnxsplit.autodiff.emission import BackwardNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """The backward pass of a model, and the forward pass that it reads.

    Parameters
    ----------
    forward : tuple of onnx.NodeProto
        The model's nodes in topological order, named ``fwd|<operator>``; some yield an optional
        output that the model itself did not ask for.
    backward : tuple of BackwardNode
        In topological order; only what the wanted gradients need.
    constants : tuple of onnx.TensorProto
        Read by backward nodes.
    gradients : mapping of str to str
        Gradient by forward value, for the wanted values and for all on the way whose gradient
        is computed. Two values may share one gradient, and a gradient may be a seed.
    seeds : tuple of str
        Names of the gradients that are fed.
    saved : tuple of str
        Forward values that backward nodes read: inputs, weights and results of operators.

    Notes
    -----
    A backward node runs on the earliest tier among its ``operators``: the node of one operator on
    that operator's tier, and a sum where its last contribution arrives. Contributions are added in
    one fixed order, last consumer first, whatever the cut is: so a split computes bit for bit what
    the whole does. Where the consumers of a crossing lie on both sides of a cut and a device's
    consumer stands, in topological order, between two of the server's, the server's contributions
    travel apart instead of as one sum; that is what it takes for the bits to be equal.
    """

    forward: tuple[onnx.NodeProto, ...]
    backward: tuple[BackwardNode, ...]
    constants: tuple[onnx.TensorProto, ...]
    gradients: Mapping[str, str]
    seeds: tuple[str, ...]
    saved: tuple[str, ...]
