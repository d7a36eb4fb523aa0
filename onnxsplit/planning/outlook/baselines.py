"""What else the field would do: baselines to hold a plan against, for any objective of two tiers.

* ``all-<tier>``: no split.
* ``chain``: the best prefix of one topological order (Kang et al., "Neurosurgeon", ASPLOS 2017).
* ``qdmp``: the best cut at a cut vertex, a cell on every way from the inputs to the outputs (after
  Zhang et al., "Towards real-time cooperative deep inference over the cloud and edge end devices",
  IMWUT 2020; rebuilt from its idea).
* ``dads``: the minimum cut as published by Hu et al., "Dynamic Adaptive DNN Surgery" (INFOCOM
  2019), without arcs from readers to makers: its value may be that of no placement, for a result
  may come back without being paid. It is repaired then.
* ``regression``: work and crossing costs fitted against the place in the order, and the fit
  minimised (as in arXiv 2507.01041; rebuilt from its idea).
* ``oss``: the optimal static split, one cut for all the rates that are met.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.mincut import solve_prepared
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.pricing import PricedPlacement, price_placement
from onnxsplit.planning.costs.question import Question, WireFormat
from onnxsplit.planning.cuts.formulation import Formulation, formulate
from onnxsplit.planning.cuts.optimum import find_optimum, price_wholes
from onnxsplit.planning.cuts.prefixes import PrefixTable, place_cells, price_prefixes
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.tiers import Link, Topology

_DEGREE = 2
_TIERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A placement by another method, priced as the plan is.

    Parameters
    ----------
    name : str
    priced : PricedPlacement
    claimed : float or None
        What the method itself takes the placement to cost, where that may differ.
    is_repaired : bool
        The method's own answer is no placement; this is the nearest one.
    """

    name: str
    priced: PricedPlacement
    claimed: float | None = None
    is_repaired: bool = False


def find_baselines(solver: Solver, *, wholes_only: bool = False) -> tuple[Baseline, ...]:
    """Find the baselines that cost about as much as a plan: wholes, chain, qdmp and dads.

    Parameters
    ----------
    solver : Solver
    wholes_only : bool
        Leave out the other methods, which minimise sums: a period is none.

    Returns
    -------
    tuple of Baseline
        Those that keep constraints and budgets, of which the other methods know nothing; the
        wholes alone for a chain of more than two tiers.

    Notes
    -----
    O(n + m) and one minimum cut.
    """
    found = [
        Baseline(name=f"all-{tier}", priced=priced) for tier, priced in price_wholes(solver).items()
    ]
    if len(solver.formulation.tiers) == _TIERS and not wholes_only:
        table = price_prefixes(solver)
        others = (
            find_chain(solver, table),
            find_cut_vertex(solver, table),
            find_published_cut(solver),
        )
        found += [entry for entry in others if entry is not None]
    return tuple(found)


def find_chain(solver: Solver, table: PrefixTable) -> Baseline | None:
    """Find the best prefix of the cells' topological order; None if none is admitted."""
    values = table.values
    return _take_prefix("chain", solver, values, range(len(values)))


def find_cut_vertex(solver: Solver, table: PrefixTable) -> Baseline | None:
    """Find the best cut behind a cut vertex, or not splitting; None if none is admitted."""
    values = table.values
    counts = [0, *(cell + 1 for cell in list_cut_vertices(solver)), len(values) - 1]
    return _take_prefix("qdmp", solver, values, counts)


def list_cut_vertices(solver: Solver) -> tuple[int, ...]:
    """Return the cells on every way from an input to an output, in order.

    Parameters
    ----------
    solver : Solver

    Notes
    -----
    They are the dominators of a vertex behind all outputs. An output that is read further along is
    no end of a way: it is there before a cut as well as after it.
    """
    coarse = solver.formulation.coarse
    first, last = -1, len(coarse.cells)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from((first, cell) for cell in _list_entries(solver))
    graph.add_edges_from(
        (before, cell) for cell, makers in enumerate(coarse.predecessors) for before in makers
    )
    graph.add_edges_from((cell, last) for cell in coarse.leaves)
    if last not in graph:
        return ()
    dominators = nx.immediate_dominators(graph, first)
    chain: list[int] = []
    vertex = dominators[last]
    while vertex != first:
        chain.append(vertex)
        vertex = dominators[vertex]
    return tuple(reversed(chain))


def _list_entries(solver: Solver) -> set[int]:
    """Return the cells that read a model input, and the roots."""
    coarse, graph = solver.formulation.coarse, solver.graph
    readers = {coarse.cell_of[name] for tensor in graph.inputs for name in graph.consumers(tensor)}
    return readers | set(coarse.roots)


def find_published_cut(solver: Solver) -> Baseline | None:
    """Find the cut of DADS as published, repaired where it is no placement; None if it can't be.

    Parameters
    ----------
    solver : Solver
        Of two tiers.

    Notes
    -----
    The repair takes the cheaper of two: what depends on the server goes to the server, or what the
    device depends on comes to the device.
    """
    formulation = formulate_as_published(solver)
    try:
        side = solve_prepared(formulation.structure, formulation.capacities).source_side
    except InfeasiblePlacementError:
        return None
    problem = formulation.problem
    severed = side[problem.tails] & ~side[problem.heads]
    claimed = formulation.always + float(formulation.capacities[severed].sum())
    repairs = list_repairs(solver, formulation.read_tiers(side) == 0)
    admitted = [placement for placement in repairs if solver.admits(placement)]
    priced = [entry for entry in map(solver.price, admitted) if solver.keeps_budgets(entry)]
    if not priced:
        return None
    return Baseline(
        name="dads",
        priced=min(priced, key=lambda entry: entry.rank),
        claimed=claimed,
        is_repaired=len(repairs) > 1,
    )


def formulate_as_published(solver: Solver) -> Formulation:
    """Return the solver's cut problem as DADS has it: without arcs from readers to makers.

    Parameters
    ----------
    solver : Solver
        Of two tiers.
    """
    ours = solver.formulation
    return formulate(
        replace(ours.charges, order=()),
        ours.coarse,
        ours.topology,
        pins=ours.pins,
        banned=ours.banned,
        off_first=ours.off_first,
    )


def list_repairs(solver: Solver, on_device: npt.NDArray[np.bool_]) -> tuple[Placement, ...]:
    """Return the placement of a published cut; the two nearest ones where it is none.

    Parameters
    ----------
    solver : Solver
    on_device : ndarray of bool, shape (cells,)
    """
    shrunk, grown = _close_downwards(solver, on_device), _close_upwards(solver, on_device)
    choices = [shrunk] if np.array_equal(shrunk, on_device) else [shrunk, grown]
    return tuple(_place(solver, choice) for choice in choices)


def find_regression(solver: Solver, table: PrefixTable) -> Baseline | None:
    """Minimise fits of work and crossing costs against the place in the order.

    Parameters
    ----------
    solver : Solver
        Of two tiers.
    table : PrefixTable

    Returns
    -------
    Baseline or None
        None if no prefix is admitted. ``claimed`` is the fit's value.

    Notes
    -----
    Polynomials of second degree in the place, by least squares over the prefixes that are admitted.
    """
    places = np.flatnonzero(np.isfinite(table.values))
    if not places.size:
        return None
    fitted = np.zeros(places.shape)
    for costs in (table.device_work, table.server_work, table.between):
        degree = min(_DEGREE, places.size - 1)
        fitted += np.polynomial.Polynomial.fit(places, costs[places], degree)(places)
    best = int(np.argmin(fitted))
    priced = solver.price(place_cells(solver, int(places[best])))
    return Baseline(name="regression", priced=priced, claimed=float(fitted[best]))


def find_static_split(
    question: Question,
    links: Sequence[Link],
    open_solver: Callable[[Question, Constraints], Solver],
    constraints: Constraints | None = None,
) -> Placement:
    """Find the one placement that is best on average over the links that are met.

    Parameters
    ----------
    question : Question
        Of two tiers.
    links : sequence of Link
        Equally likely.
    open_solver : callable
        `onnxsplit.planning.solvers.open_solver`.
    constraints : Constraints, optional

    Returns
    -------
    Placement
        Costs are linear in the inverses of the rates, so it is the best one at the harmonic means
        of the rates and the mean round trip.

    Raises
    ------
    UsageError
        No link is given.
    InfeasiblePlacementError
        No placement meets the constraints.
    """
    if not links:
        raise UsageError("An optimal static split needs the links that are met; give at least one.")
    average = Link(
        up_bytes_per_second=_average_rate([link.up_bytes_per_second for link in links]),
        down_bytes_per_second=_average_rate([link.down_bytes_per_second for link in links]),
        round_trip_seconds=sum(link.round_trip_seconds for link in links) / len(links),
    )
    topology = Topology(tiers=question.topology.tiers, links=(average,))
    usual = replace(question, topology=topology)
    return find_optimum(open_solver(usual, constraints or Constraints())).priced.placement


def price_compressed_upload(question: Question, input_bytes: Mapping[str, int]) -> PricedPlacement:
    """Price sending the raw inputs in another format, such as a JPEG, and running all far away.

    Parameters
    ----------
    question : Question
    input_bytes : mapping of str to int
        Model input to its bytes on the link; decoding takes no time.

    Raises
    ------
    UsageError
        A name is no model input.
    """
    for name in sorted(set(input_bytes) - set(question.graph.inputs)):
        raise UsageError(f"{name!r} is no model input, so it can't be sent as raw input.")
    wires = {
        name: WireFormat(name="as sent", size_bytes=size) for name, size in input_bytes.items()
    }
    last = question.topology.tiers[-1]
    whole = Placement(
        tiers=question.topology.tiers,
        tier_of={operator.name: last for operator in question.graph},
    )
    return price_placement(replace(question, wires={**question.wires, **wires}), whole)


def name_repairs(baselines: Sequence[Baseline]) -> Iterator[str]:
    """Say which baselines had to be repaired."""
    for entry in baselines:
        if entry.is_repaired:
            yield (
                f"The baseline {entry.name}, as published, would send results back to the device"
                " without paying for it; it is shown repaired."
            )


def _average_rate(rates: Sequence[float]) -> float:
    """Return the harmonic mean."""
    inverse = sum(1 / rate for rate in rates) / len(rates)
    return 1 / inverse if inverse else float("inf")


def _take_prefix(
    name: str, solver: Solver, values: npt.NDArray[np.float64], counts: Sequence[int]
) -> Baseline | None:
    """Return the cheapest of some prefixes."""
    best = min(counts, key=lambda count: float(values[count]))
    if not np.isfinite(values[best]):
        return None
    priced = solver.price(place_cells(solver, best))
    return Baseline(name=name, priced=priced) if solver.keeps_budgets(priced) else None


def _close_downwards(solver: Solver, on_device: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Send to the server what depends on the server."""
    kept = on_device.copy()
    for cell, makers in enumerate(solver.formulation.coarse.predecessors):
        kept[cell] &= all(kept[maker] for maker in makers)
    return kept


def _close_upwards(solver: Solver, on_device: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Take to the device what the device depends on."""
    kept = on_device.copy()
    successors = solver.formulation.coarse.successors
    for cell in reversed(range(len(successors))):
        kept[cell] |= any(kept[reader] for reader in successors[cell])
    return kept


def _place(solver: Solver, on_device: npt.NDArray[np.bool_]) -> Placement:
    """Return the placement of cells."""
    device, server = solver.formulation.tiers
    cell_of = solver.formulation.coarse.cell_of
    return Placement(
        tiers=(device, server),
        tier_of={
            operator.name: device if on_device[cell_of[operator.name]] else server
            for operator in solver.graph
        },
    )
