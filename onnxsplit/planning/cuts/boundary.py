"""Which wire each tensor takes: the cheapest of those that it may take, whatever the placement.

Between two tiers a tensor that crosses pays the same whatever else crosses, so its best wire does
not depend on the placement, and a cut with every tensor on its best wire is the best over
placements and wires together. On a longer chain it depends on the links that the tensor crosses;
the wire taken is then the best for one that crosses all of them, which is not always the best of
all (in 1 of 250 random graphs on three tiers, where it was 0.8 % slower). A tensor that passes a
middle tier is charged as if it were decoded and encoded there: a little too much, for it is passed
on as it is.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxsplit.errors import UsageError
from onnxsplit.objectives import Energy, Throughput, TrainingDelay
from onnxsplit.planning.costs.prices import EVERY_SECOND, SecondPrices, price_energy
from onnxsplit.planning.costs.question import Question, WireFormat

Choices = Mapping[str, Sequence[WireFormat | None]]
"""Tensor to the wires that it may take; None is as it stands in memory."""


def choose_wires(question: Question, choices: Choices) -> Question:
    """Let every tensor take the cheapest wire that it may take.

    Parameters
    ----------
    question : Question
        Wires that it has already stay, unless a tensor has choices.
    choices : mapping of str to sequence of WireFormat or None
        At least one for each tensor; of equally cheap ones the first is taken.

    Returns
    -------
    Question

    Raises
    ------
    UsageError
        The objective is training, where gradients would have to be narrowed as well, or
        throughput.

    Notes
    -----
    O(tensors x wires x links).
    """
    if isinstance(question.objective, TrainingDelay):
        raise UsageError(
            "--boundary narrows the crossings of an inference; for training leave it out."
        )
    if isinstance(question.objective, Throughput):
        raise UsageError(
            "--boundary takes what is best for each crossing alone, which the period of a pipeline"
            " does not allow; leave it out for --objective throughput."
        )
    wires = dict(question.wires)
    for tensor, formats in choices.items():
        best = min(formats, key=lambda wire: price_wire(question, tensor, wire))
        wires.pop(tensor, None)
        if best is not None:
            wires[tensor] = best
    return replace(question, wires=wires)


def price_wire(question: Question, tensor: str, wire: WireFormat | None) -> float:
    """Return what a tensor costs on a wire, over all links, in the objective's unit."""
    posed = replace(question, wires={} if wire is None else {tensor: wire})
    size = posed.measure_wire(tensor)
    if size is None:
        return float("inf")
    prices = _find_prices(question)
    cost = 0.0
    for place, (near, far) in enumerate(itertools.pairwise(question.topology.tiers)):
        sent, taken = posed.find_boundary_seconds(tensor, near, far)
        rate = question.topology.links[place].up_bytes_per_second
        cost += prices.sending(place) * size / rate
        cost += prices.computing(place) * sent + prices.computing(place + 1) * taken
    return cost


def _find_prices(question: Question) -> SecondPrices:
    """Return what seconds count under the objective."""
    if isinstance(question.objective, Energy):
        return price_energy(question.objective, question.topology)
    return EVERY_SECOND
