"""Capacities in seconds to whole ticks that fit the flow engine's 32-bit integers.

Note on ticks. Let ``U`` be the cost of any feasible cut. No minimum cut holds an arc dearer than
``U``, so every finite capacity above it is clamped above it, by more than rounding can add. If all
others are whole multiples of one fraction ``1 / L`` that is not finer than ``U / 2^29``, that is
the tick and nothing is rounded: seconds that a person wrote as decimals, and bytes over a rate,
stay exact, and so do their ties. Else the tick is ``U / 2^29``.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import CapacityOverflowError
from onnxsplit.mincut.problem import Capacities

Ticks = npt.NDArray[np.int64]

INFINITE_TICKS = 2**30
"""Safe as infinity while the finite flow stays below it: 2^31 - 1 wraps inside the engine."""

BUDGET_TICKS = 2**29
"""How many ticks the bound ``U`` is divided into at most."""

_LARGEST_DENOMINATOR = 10**7
_RELATIVE_NOISE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class TickScale:
    """How capacities become ticks.

    Parameters
    ----------
    tick : float
        What one tick stands for, in the unit of the capacities.
    bound : float
        Cost of a feasible cut; whatever costs more can't be part of a minimum cut.
    ceiling_ticks : int
        What a finite capacity above the bound becomes; more than any minimum cut costs.
    is_exact : bool
        Whether no capacity below the ceiling is rounded.
    """

    tick: float
    bound: float
    ceiling_ticks: int
    is_exact: bool

    def quantise(self, capacities: Capacities) -> Ticks:
        """Return the capacities in ticks; infinite ones become ``INFINITE_TICKS``.

        Parameters
        ----------
        capacities : ndarray of float64, shape (arcs,)

        Returns
        -------
        ndarray of int64, shape (arcs,)
        """
        ticks = np.full(capacities.shape, self.ceiling_ticks, dtype=np.int64)
        within = capacities <= self.bound
        ticks[within] = np.rint(capacities[within] / self.tick).astype(np.int64)
        ticks[np.isinf(capacities)] = INFINITE_TICKS
        return ticks


def choose_scale(capacities: Capacities, bound: float) -> TickScale:
    """Choose the tick for a problem whose optimum costs at most ``bound``.

    Parameters
    ----------
    capacities : ndarray of float64, shape (arcs,)
        Parallel arcs merged; ``inf`` allowed.
    bound : float
        Cost of a feasible cut.

    Raises
    ------
    CapacityOverflowError
        The bound is not finite.
    """
    if not math.isfinite(bound):
        raise CapacityOverflowError(
            "The costs add up to more than a float can hold; check the profile's seconds and the"
            " link's rates."
        )
    if bound == 0:
        return TickScale(tick=1.0, bound=0.0, ceiling_ticks=1, is_exact=True)
    relevant = capacities[capacities <= bound]
    common = _find_common_tick(relevant, bound)
    if common is not None:
        ceiling = math.ceil(bound / common) + 1
        return TickScale(tick=common, bound=bound, ceiling_ticks=ceiling, is_exact=True)
    tick = bound / BUDGET_TICKS
    if tick == 0 or not math.isfinite(bound / tick):
        raise CapacityOverflowError("The costs are too small for a float; use larger seconds.")
    # Rounding may add half a tick for every arc to the cut that the bound is the cost of; what was
    # clamped must still cost more.
    ceiling = BUDGET_TICKS + 1 + capacities.size
    return TickScale(tick=tick, bound=bound, ceiling_ticks=ceiling, is_exact=False)


def _find_common_tick(capacities: Capacities, bound: float) -> float | None:
    """Return the largest fraction that divides all capacities, if it is not too fine.

    A capacity counts as a multiple if it is one up to float noise; each round takes the first that
    is not, and refines by the denominator of what it lacks.
    """
    parts = 1
    while bound * parts <= BUDGET_TICKS:
        scaled = capacities * parts
        whole = np.rint(scaled)
        apart = np.abs(scaled - whole) > _RELATIVE_NOISE * scaled
        if not apart.any():
            common = int(np.gcd.reduce(whole.astype(np.int64), initial=0))
            return max(common, 1) / parts
        first = float(scaled[np.argmax(apart)])
        denominator = Fraction(first).limit_denominator(_LARGEST_DENOMINATOR).denominator
        if denominator == 1:  # it is no fraction of ours, only close to a whole number
            return None
        parts *= denominator
    return None
