"""What a placement is charged for, as linear functions of the links: between objective and cut.

Every cost is a row of coefficients, one for each parameter of the chain's links: the constant 1,
then for each link the inverse of its uplink rate, the inverse of its downlink rate and its round
trip. A row times the parameters of a topology is a cost in the objective's unit, so that one set
of charges serves all links.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.tiers import Topology

Floats = npt.NDArray[np.float64]

CONSTANT = 0


def up_column(link: int) -> int:
    """Return the column that is multiplied with 1 / uplink rate."""
    return 1 + 3 * link


def down_column(link: int) -> int:
    """Return the column that is multiplied with 1 / downlink rate."""
    return 2 + 3 * link


def trip_column(link: int) -> int:
    """Return the column that is multiplied with the round trip."""
    return 3 + 3 * link


def count_columns(links: int) -> int:
    """Return how many parameters a chain with so many links has."""
    return 1 + 3 * links


def read_parameters(topology: Topology) -> Floats:
    """Return the parameters of a topology, in the order of the columns."""
    values = [1.0]
    for link in topology.links:
        values += [
            1 / link.up_bytes_per_second,
            1 / link.down_bytes_per_second,
            link.round_trip_seconds,
        ]
    return np.array(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCharge:
    """What a value costs that is made in one place and read in others.

    Parameters
    ----------
    tensor : str
    maker : int or None
        The vertex that makes it; None for a model input.
    readers : tuple of int
        Other vertices that read it, in order.
    forward : ndarray of float64, shape (links, columns)
        What travelling over each link, away from where it is made, costs once; ``inf`` in the
        first column if it may not travel.
    size_bytes : int
        For breaking ties.
    starts_at_last : bool
        A model input that lives on the last tier and travels towards the first.
    ends_at_last : bool
        A model output that is wanted on the last tier.
    gradient : ndarray of float64, shape (links, columns), optional
        What its gradient costs on the way back, if one comes back.
    gradient_readers : tuple of int
        The readers that send a gradient.
    """

    tensor: str
    maker: int | None
    readers: tuple[int, ...]
    forward: Floats
    size_bytes: int = 0
    starts_at_last: bool = False
    ends_at_last: bool = False
    gradient: Floats | None = None
    gradient_readers: tuple[int, ...] = ()

    def scale(self, weight: float) -> Self:
        """Return the charge times a weight."""
        return replace(
            self,
            forward=self.forward * weight,
            gradient=None if self.gradient is None else self.gradient * weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCharge:
    """Parameters that several vertices use: charged once on a tier that any of them is on.

    Parameters
    ----------
    vertices : tuple of int
    first_tier : ndarray of float64, shape (columns,)
        If any of them is on the first tier.
    last_tier : ndarray of float64, shape (columns,), optional
        If any of them is on the last.
    """

    vertices: tuple[int, ...]
    first_tier: Floats
    last_tier: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """Everything that a placement is charged for.

    Parameters
    ----------
    tiers : int
    vertices : ndarray of float64, shape (vertices, tiers, columns)
        What each cell, and each virtual vertex behind the cells, costs on each tier.
    order : tuple of (int, int)
        Reader and maker: the reader is on the maker's tier or behind it.
    tensors : tuple of TensorCharge
    beyond : ndarray of float64, shape (links, columns)
        What running anything behind a link costs.
    first : ndarray of float64, shape (columns,)
        What running anything on the first tier costs.
    before : ndarray of float64, shape (links, columns)
        What running anything before a link costs.
    always : ndarray of float64, shape (columns,)
        Charged whatever the placement is.
    shared : tuple of SharedCharge
    """

    tiers: int
    vertices: Floats
    order: tuple[tuple[int, int], ...]
    tensors: tuple[TensorCharge, ...]
    beyond: Floats
    first: Floats
    before: Floats
    always: Floats
    shared: tuple[SharedCharge, ...] = ()

    @property
    def columns(self) -> int:
        """How many parameters the costs are linear in."""
        return int(self.vertices.shape[2])


def mix_charges(weighted: Sequence[tuple[float, Charges]]) -> Charges:
    """Add up the charges of one structure at several sizes, weighted.

    Parameters
    ----------
    weighted : sequence of (float, Charges)
        Positive weights; the charges must be of graphs that differ in sizes and seconds alone.

    Raises
    ------
    InternalError
        They are of different structures.
    """
    weight, first = weighted[0]
    total = _scale_charges(first, weight)
    for factor, charges in weighted[1:]:
        total = _add_charges(total, _scale_charges(charges, factor))
    return total


def _scale_charges(charges: Charges, weight: float) -> Charges:
    """Return all charges times a weight."""
    return replace(
        charges,
        vertices=charges.vertices * weight,
        tensors=tuple(tensor.scale(weight) for tensor in charges.tensors),
        beyond=charges.beyond * weight,
        first=charges.first * weight,
        before=charges.before * weight,
        always=charges.always * weight,
        shared=tuple(
            replace(entry, first_tier=entry.first_tier * weight) for entry in charges.shared
        ),
    )


def _add_charges(one: Charges, other: Charges) -> Charges:
    """Add charges of the same structure."""
    same = (
        one.vertices.shape == other.vertices.shape
        and one.order == other.order
        and [_shape_of(entry) for entry in one.tensors]
        == [_shape_of(entry) for entry in other.tensors]
        and [entry.vertices for entry in one.shared] == [entry.vertices for entry in other.shared]
    )
    if not same:
        raise InternalError("Charges of different structures can't be mixed.")
    return replace(
        one,
        vertices=one.vertices + other.vertices,
        tensors=tuple(map(_add_tensors, one.tensors, other.tensors)),
        beyond=one.beyond + other.beyond,
        first=one.first + other.first,
        before=one.before + other.before,
        always=one.always + other.always,
        shared=tuple(
            replace(a, first_tier=a.first_tier + b.first_tier)
            for a, b in zip(one.shared, other.shared, strict=True)
        ),
    )


def _shape_of(charge: TensorCharge) -> tuple[object, ...]:
    """Return what must be equal in charges that are added."""
    return (
        charge.tensor,
        charge.maker,
        charge.readers,
        charge.starts_at_last,
        charge.ends_at_last,
        charge.gradient_readers,
    )


def _add_tensors(one: TensorCharge, other: TensorCharge) -> TensorCharge:
    """Add two charges of one value."""
    gradient = one.gradient
    if gradient is not None and other.gradient is not None:
        gradient = gradient + other.gradient
    return replace(
        one,
        forward=one.forward + other.forward,
        size_bytes=one.size_bytes + other.size_bytes,
        gradient=gradient,
    )
