"""Capacities in seconds to whole ticks that fit the flow engine's 32-bit integers.

Note on ticks. Let ``U`` be the cost of any feasible cut. No minimum cut holds an arc dearer than
``U``, so every finite capacity is clamped just above ``U``. If all of them are whole multiples of
one power of ten that is not finer than ``U / 2^29``, that power is the tick and nothing is rounded:
decimals that a person wrote stay exact, and so do their ties. Else the tick is ``U / 2^29``.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import CapacityOverflowError
from onnxsplit.mincut.problem import Capacities

Ticks = npt.NDArray[np.int64]

INFINITE_TICKS = 2**30
"""Safe as infinity while the finite flow stays below it: 2^31 - 1 wraps inside the engine."""

BUDGET_TICKS = 2**29
"""How many ticks the bound ``U`` is divided into at most."""

_FINEST_DECIMAL = 15
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
    decimal = _find_decimal_tick(relevant, bound)
    if decimal is not None:
        ceiling = math.ceil(bound / decimal) + 1
        return TickScale(tick=decimal, bound=bound, ceiling_ticks=ceiling, is_exact=True)
    tick = bound / BUDGET_TICKS
    if tick == 0 or not math.isfinite(bound / tick):
        raise CapacityOverflowError("The costs are too small for a float; use larger seconds.")
    return TickScale(tick=tick, bound=bound, ceiling_ticks=BUDGET_TICKS + 1, is_exact=False)


def _find_decimal_tick(capacities: Capacities, bound: float) -> float | None:
    """Return the largest power of ten that divides all capacities, if it is not too fine."""
    for exponent in range(-9, _FINEST_DECIMAL + 1):
        scale = 10.0**exponent
        if bound * scale > BUDGET_TICKS:
            return None
        scaled = capacities * scale
        if np.all(np.abs(scaled - np.rint(scaled)) <= _RELATIVE_NOISE * scaled):
            return 1 / scale
    return None
