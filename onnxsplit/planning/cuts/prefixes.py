"""What every prefix of a topological order costs, exactly: a device and a server, any objective.

Note on sums. The cells of a coarse graph stand in a topological order, so that the first k of them
can run on the device. Each charge is paid for an interval of k: a value crosses while its maker is
in the prefix and a reader is not, shared parameters are down from their first user on, and so on.
Charges therefore add up as differences at the ends of their intervals. Virtual vertices behind the
cells, such as a loss, may lie on either side; the cheaper one counts.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import UsageError
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import Charges, read_parameters
from onnxsplit.planning.cuts.solver import Solver

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_TIERS = 2
_Pay = Callable[[int, int, Floats], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTable:
    """The prefixes of the cells' order, from none to all on the device.

    Parameters
    ----------
    device_work, server_work : ndarray of float64, shape (cells + 1,)
        What the cells of either side cost, transfers that belong to a cell among it; ``inf`` where
        one may not be there.
    between : ndarray of float64, shape (cells + 1,)
        Everything else; ``inf`` where a value crosses that may not.
    """

    device_work: Floats
    server_work: Floats
    between: Floats

    @property
    def values(self) -> Floats:
        """What each prefix costs, in the objective's unit."""
        return self.device_work + self.server_work + self.between


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRows:
    """What the prefixes cost for every link, as rows of coefficients of the links' parameters.

    Parameters
    ----------
    device_work, server_work : ndarray of float64, shape (cells + 1, columns)
    between : ndarray of float64, shape (sides, cells + 1, columns)
        For each way to place the virtual vertices; the cheapest counts.
    device_barred, server_barred : ndarray of bool, shape (cells + 1,)
        A cell is on a side where it may not be.
    between_barred : ndarray of bool, shape (sides, cells + 1)
        A value crosses that may not, or a virtual vertex may not be there.
    """

    device_work: Floats
    server_work: Floats
    between: Floats
    device_barred: Bools
    server_barred: Bools
    between_barred: Bools

    def price(self, parameters: Floats) -> PrefixTable:
        """Return what the prefixes cost over some links.

        Parameters
        ----------
        parameters : ndarray of float64, shape (columns,)
            As `onnxsplit.planning.costs.charges.read_parameters` gives them.
        """
        between = np.where(self.between_barred, np.inf, self.between @ parameters)
        return PrefixTable(
            device_work=np.where(self.device_barred, np.inf, self.device_work @ parameters),
            server_work=np.where(self.server_barred, np.inf, self.server_work @ parameters),
            between=between.min(axis=0),
        )


def price_prefixes(solver: Solver) -> PrefixTable:
    """Price all prefixes of the cells' order over the solver's link.

    Parameters
    ----------
    solver : Solver
        Of two tiers.

    Raises
    ------
    UsageError
        The chain is longer: there a prefix is no placement.

    Notes
    -----
    O(n + m), for each side that virtual vertices may take.
    """
    return tabulate_prefixes(solver).price(read_parameters(solver.formulation.topology))


def tabulate_prefixes(solver: Solver) -> PrefixRows:
    """Price all prefixes of the cells' order for every link.

    Parameters
    ----------
    solver : Solver
        Of two tiers.

    Raises
    ------
    UsageError
        The chain is longer: there a prefix is no placement.

    Notes
    -----
    O(n + m) for each column, for each side that virtual vertices may take.
    """
    formulation = solver.formulation
    if len(formulation.tiers) != _TIERS:
        raise UsageError("Prefixes are those of a device and a server; the chain is longer.")
    charges, arcs = formulation.charges, formulation.tier_arcs
    barred = ~np.isfinite(formulation.capacities[arcs])
    rows = np.where(barred[:, :, None], 0.0, charges.vertices[: len(arcs)])
    none, nothing = np.zeros((1, charges.columns)), np.array([False])
    virtual = range(len(arcs), len(charges.vertices))
    sums = [
        _Sums(charges=charges).add_up(len(arcs), dict(zip(virtual, sides, strict=True)))
        for sides in itertools.product((0, 1), repeat=len(virtual))
    ]
    return PrefixRows(
        device_work=np.concatenate((none, np.cumsum(rows[:, 0], axis=0))),
        server_work=np.concatenate((np.cumsum(rows[::-1, 1], axis=0)[::-1], none)),
        between=np.array([total for total, _ in sums]) + charges.always,
        device_barred=np.concatenate((nothing, np.logical_or.accumulate(barred[:, 0]))),
        server_barred=np.concatenate((np.logical_or.accumulate(barred[::-1, 1])[::-1], nothing)),
        between_barred=np.array([stuck for _, stuck in sums]),
    )


def place_cells(solver: Solver, count: int) -> Placement:
    """Place the first cells on the device and the rest on the server.

    Parameters
    ----------
    solver : Solver
    count : int
        How many cells run on the device.
    """
    device, server = solver.formulation.tiers
    cell_of = solver.formulation.coarse.cell_of
    return Placement(
        tiers=(device, server),
        tier_of={
            operator.name: device if cell_of[operator.name] < count else server
            for operator in solver.graph
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Adds up what no single cell is charged for."""

    charges: Charges

    def add_up(self, cells: int, sides: dict[int, int]) -> tuple[Floats, Bools]:
        """Return what each prefix costs with the virtual vertices on given sides, and if it may."""
        # A virtual vertex on the device counts as before the first cell, else as behind the last.
        place = {vertex: cells + 1 if side else -1 for vertex, side in sides.items()}
        total = np.zeros((cells + 3, self.charges.columns))
        barred = np.zeros(cells + 1, dtype=np.bool_)

        def pay(begin: int, end: int, cost: Floats) -> None:
            """Charge the prefixes ``begin <= k < end``; an infinite cost bars them."""
            begin, end = max(begin, 0), min(end, cells + 1)
            if begin >= end:
                return
            if not np.isfinite(cost).all():
                barred[begin:end] = True
                return
            total[begin] += cost
            total[end] -= cost

        for vertex, side in sides.items():
            pay(0, cells + 1, self.charges.vertices[vertex, side])
        for reader, maker in self.charges.order:
            if reader in place and place[reader] < 0:  # it waits for what it reads
                barred[: place.get(maker, maker) + 1] = True
        self._pay_tensors(cells, place, pay)
        self._pay_trips(cells, place, pay)
        for shared in self.charges.shared:
            users = [place.get(vertex, vertex) for vertex in shared.vertices]
            pay(min(users) + 1, cells + 1, shared.first_tier)
            if shared.last_tier is not None:
                pay(0, max(users) + 1, shared.last_tier)
        return np.cumsum(total, axis=0)[: cells + 1], barred

    def _pay_tensors(self, cells: int, place: dict[int, int], pay: _Pay) -> None:
        """Charge every value, and its gradient, while it crosses."""
        for charge in self.charges.tensors:
            start = -1 if charge.maker is None else place.get(charge.maker, charge.maker)
            readers = [place.get(vertex, vertex) for vertex in charge.readers]
            begin, end = start + 1, max(readers, default=-1) + 1
            if charge.ends_at_last:
                end = cells + 1
            if charge.starts_at_last:
                begin, end = min(readers, default=cells) + 1, cells + 1
            pay(begin, end, charge.forward[0])
            if charge.gradient is not None and charge.gradient_readers:
                back = [place.get(vertex, vertex) for vertex in charge.gradient_readers]
                pay(begin, max(back) + 1, charge.gradient[0])

    def _pay_trips(self, cells: int, place: dict[int, int], pay: _Pay) -> None:
        """Charge what anything on either side costs."""
        charges = self.charges
        is_near = any(where < 0 for where in place.values())
        is_far = any(where > 0 for where in place.values())
        pay(0, cells + 1 if is_far else cells, charges.beyond[0])
        pay(0 if is_near else 1, cells + 1, charges.first + charges.before[0])
