"""Charges of one inference: latency, or any objective that prices the seconds of its activities.

* A cell costs its seconds on each tier, and the way back of the model outputs that it makes.
* A value that is read further along pays once for every link that it crosses.
* A link that anything lies behind costs one round trip; a tier that runs anything costs the fixed
  seconds of a run. A middle tier that only passes data on counts as running: an assumption.
* Where both ends hold data (an input at the last tier, say), the round trips are always paid.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.charges import (
    CONSTANT,
    Charges,
    Floats,
    TensorCharge,
    count_columns,
    down_column,
    trip_column,
    up_column,
)
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.prices import SecondPrices
from onnxsplit.planning.costs.question import DataPlaces, Question


def charge_inference(
    question: Question, coarse: CoarseGraph, banned: frozenset[str], prices: SecondPrices
) -> Charges:
    """Return the charges of one inference.

    Parameters
    ----------
    question : Question
    coarse : CoarseGraph
    banned : frozenset of str
        Values that may not cross.
    prices : SecondPrices

    Notes
    -----
    O(n + m). Assumes that intermediate results never travel back and that the transfers of one run
    share a link one after the other.
    """
    links = len(question.topology.links)
    vertices = _charge_cells(question, coarse, prices)
    _add_downloads(question, coarse, banned, prices, vertices)
    beyond, before, always = _charge_trips(question, prices)
    first = np.zeros(count_columns(links))
    first[CONSTANT] = prices.computing(0) * _find_run_seconds(question, 0)
    return Charges(
        tiers=links + 1,
        vertices=vertices,
        order=list_order(coarse),
        tensors=tuple(_charge_tensors(question, coarse, banned, prices)),
        beyond=beyond,
        first=first,
        before=before,
        always=always,
    )


def list_order(coarse: CoarseGraph) -> tuple[tuple[int, int], ...]:
    """Return every pair of a reader and a maker among the cells."""
    return tuple(
        (place, before)
        for place in range(len(coarse.cells))
        for before in sorted(coarse.predecessors[place])
    )


def list_travellers(graph: OperatorGraph, places: DataPlaces) -> Iterator[str]:
    """Yield the values that may have to travel away from where they are made."""
    pasts = {state.past for state in places.states}
    yield from (tensor for tensor in graph.inputs if tensor not in pasts)
    for operator in graph:
        yield from operator.outputs


def _find_run_seconds(question: Question, place: int) -> float:
    """Return what any run on a tier takes besides its operators."""
    return question.profiles[question.topology.tiers[place]].run_seconds


def _charge_cells(question: Question, coarse: CoarseGraph, prices: SecondPrices) -> Floats:
    """Charge every cell its seconds on each tier."""
    tiers = question.topology.tiers
    vertices = np.zeros((len(coarse.cells), len(tiers), count_columns(len(tiers) - 1)))
    for place, tier in enumerate(tiers):
        seconds = np.array([cell.seconds[tier] for cell in coarse.cells])
        vertices[:, place, CONSTANT] = prices.computing(place) * seconds
    return vertices


def _add_downloads(
    question: Question,
    coarse: CoarseGraph,
    banned: frozenset[str],
    prices: SecondPrices,
    vertices: Floats,
) -> None:
    """Charge the model outputs that are wanted on the first tier for their way back."""
    graph, places = question.graph, question.places
    stay = places.outputs_at_last | {state.present for state in places.states}
    for tensor in graph.outputs:
        maker = graph.producer(tensor)
        if maker is None or tensor in stay:
            continue
        cell, size = coarse.cell_of[maker], graph.tensors[tensor].size_bytes
        for tier in range(1, vertices.shape[1]):
            if size is None or tensor in banned:  # it keeps its operator on the device
                vertices[cell, tier, CONSTANT] = np.inf
                continue
            for link in range(tier):
                vertices[cell, tier, down_column(link)] += size * prices.receiving(link)


def _charge_trips(question: Question, prices: SecondPrices) -> tuple[Floats, Floats, Floats]:
    """Charge round trips, and the fixed seconds of a run on every tier but the first."""
    links, places, graph = len(question.topology.links), question.places, question.graph
    columns = count_columns(links)
    trips, runs = np.zeros((2, links, columns))
    for link in range(links):
        trips[link, trip_column(link)] = prices.tripping(link)
        runs[link, CONSTANT] = prices.computing(link + 1) * _find_run_seconds(question, link + 1)
    nothing = np.zeros_like(trips)
    if not places.inputs_at_last and not places.outputs_at_last:
        return trips + runs, nothing, nothing.sum(axis=0)
    if places.inputs_at_last >= set(graph.inputs) and places.outputs_at_last >= set(graph.outputs):
        return runs, trips, nothing.sum(axis=0)
    return runs, nothing, trips.sum(axis=0)


def _charge_tensors(
    question: Question, coarse: CoarseGraph, banned: frozenset[str], prices: SecondPrices
) -> Iterator[TensorCharge]:
    """Charge every value that may travel, once for each link."""
    graph, places = question.graph, question.places
    for tensor in list_travellers(graph, places):
        maker = graph.producer(tensor)
        start = None if maker is None else coarse.cell_of[maker]
        cells = {coarse.cell_of[name] for name in graph.consumers(tensor)}
        readers = tuple(sorted(cell for cell in cells if cell != start))
        ends_at_last = tensor in places.outputs_at_last
        if not readers and not ends_at_last:
            continue
        size = question.measure_wire(tensor)
        yield TensorCharge(
            tensor=tensor,
            maker=start,
            readers=readers,
            forward=_charge_transfer(question, tensor, None if tensor in banned else size, prices),
            size_bytes=size or 0,
            starts_at_last=tensor in places.inputs_at_last,
            ends_at_last=ends_at_last,
        )


def _charge_transfer(
    question: Question, tensor: str, size: int | None, prices: SecondPrices
) -> Floats:
    """Charge one value for each link: bytes, and what its two ends add; ``inf`` if it is stuck."""
    links = len(question.topology.links)
    forward = np.zeros((links, count_columns(links)))
    if size is None:
        forward[:, CONSTANT] = np.inf
        return forward
    comes_down = tensor in question.places.inputs_at_last
    for link, (near, far) in enumerate(itertools.pairwise(question.topology.tiers)):
        if comes_down:
            forward[link, down_column(link)] = size * prices.receiving(link)
            sent, taken = question.find_boundary_seconds(tensor, far, near)
            sender, taker = link + 1, link
        else:
            forward[link, up_column(link)] = size * prices.sending(link)
            sent, taken = question.find_boundary_seconds(tensor, near, far)
            sender, taker = link, link + 1
        forward[link, CONSTANT] = sent * prices.computing(sender) + taken * prices.computing(taker)
    return forward
