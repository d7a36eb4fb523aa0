"""Compare one output of the stages with that of the whole model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from onnxsplit.engines.port import Value
from onnxsplit.parity.tolerances import find_tolerance

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two values differ.

    Parameters
    ----------
    dtype : str
        Element type of the whole model's value.
    bit_equal : bool
        Every byte is the same; NaNs count as equal where the whole model has one too.
    within_tolerance : bool
        No element differs by more than the tolerance times the largest finite magnitude.
    max_absolute, max_relative : float
        Largest difference; relative to the whole model's element.
    tolerance : float
    largest : float
        Largest finite magnitude of the whole model's value.
    matching_nans : int
        NaNs in the same place on both sides.
    problem : str
        What is wrong beyond values, in a sentence; empty if nothing is.
    drift : float
        Largest difference relative to the largest finite magnitude. Discrete values (integers,
        booleans, strings) can't drift a little: there, and where shapes, types, NaNs or infinities
        clash, any difference is infinite.
    """

    dtype: str
    bit_equal: bool
    within_tolerance: bool
    max_absolute: float = 0.0
    max_relative: float = 0.0
    tolerance: float = 0.0
    largest: float = 0.0
    matching_nans: int = 0
    problem: str = ""
    drift: float = 0.0

    def merge(self, other: Self) -> Self:
        """Return the worse of two comparisons, field by field."""
        return type(self)(
            dtype=self.dtype,
            bit_equal=self.bit_equal and other.bit_equal,
            within_tolerance=self.within_tolerance and other.within_tolerance,
            max_absolute=max(self.max_absolute, other.max_absolute),
            max_relative=max(self.max_relative, other.max_relative),
            tolerance=self.tolerance,
            largest=max(self.largest, other.largest),
            matching_nans=self.matching_nans + other.matching_nans,
            problem=self.problem or other.problem,
            drift=max(self.drift, other.drift),
        )


def compare_values(staged: Value, whole: Value) -> Comparison:
    """Compare two values of any kind.

    Parameters
    ----------
    staged, whole : array, list of arrays or None
        What the stages gave, and what the whole model gave.

    Returns
    -------
    Comparison
        Sequences are compared element by element, and absent optionals with absent ones.
    """
    structure = compare_structure(staged, whole)
    if structure.problem or whole is None or staged is None:
        return structure
    if isinstance(whole, list | tuple):
        return merge_all(compare_values(a, b) for a, b in zip(staged, whole, strict=True))
    ours, theirs = np.asarray(staged), np.asarray(whole)
    if theirs.dtype.kind in "OUS":
        same = bool(np.array_equal(ours, theirs))
        drift = 0.0 if same else math.inf
        return Comparison(dtype="string", bit_equal=same, within_tolerance=same, drift=drift)
    return _compare_numbers(ours, theirs)


def compare_structure(staged: Value, whole: Value) -> Comparison:
    """Compare kinds, element types and shapes, and no element.

    Parameters
    ----------
    staged, whole : array, list of arrays or None

    Returns
    -------
    Comparison
        Equal, or with a ``problem``.
    """
    kinds = _name_kind(staged), _name_kind(whole)
    if kinds[0] != kinds[1]:
        return _settle(kinds[1], f"the stages give {kinds[0]}, the whole model {kinds[1]}")
    if whole is None or staged is None:
        return _settle("nothing", "")
    if isinstance(whole, list | tuple):
        if len(staged) != len(whole):
            return _settle(
                "sequence", f"the stages give {len(staged)} elements, the whole {len(whole)}"
            )
        return merge_all(compare_structure(a, b) for a, b in zip(staged, whole, strict=True))
    return _compare_types(np.asarray(staged), np.asarray(whole))


def _compare_types(staged: Array, whole: Array) -> Comparison:
    """Compare element types and shapes of two arrays."""
    problem = ""
    if staged.dtype != whole.dtype:
        problem = f"the stages give {staged.dtype}, the whole model {whole.dtype}"
    elif staged.shape != whole.shape:
        problem = f"the stages give the shape {list(staged.shape)}, the whole {list(whole.shape)}"
    return _settle(str(whole.dtype), problem)


def merge_all(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the worst of all comparisons; that of nothing is equality."""
    merged: Comparison | None = None
    for comparison in comparisons:
        merged = comparison if merged is None else merged.merge(comparison)
    return _settle("sequence", "") if merged is None else merged


def allow_drift(comparison: Comparison, budget: float) -> Comparison:
    """Allow a comparison to show as much drift as a budget states, and its own tolerance at least.

    Discrete outputs must be equal all the same. Equality is nothing that a narrowed crossing can
    promise, so it is not claimed.
    """
    own = find_tolerance(comparison.dtype)
    tolerance = max(own, budget) if own else 0.0
    return replace(
        comparison,
        bit_equal=False,
        tolerance=tolerance,
        within_tolerance=comparison.drift <= tolerance,
    )


def _name_kind(value: Value) -> str:
    """Name what a value is."""
    if value is None:
        return "nothing"
    return "a sequence" if isinstance(value, list | tuple) else "a tensor"


def _settle(dtype: str, problem: str) -> Comparison:
    """Return a comparison that is decided without looking at numbers."""
    return Comparison(
        dtype=dtype,
        bit_equal=not problem,
        within_tolerance=not problem,
        problem=problem,
        drift=math.inf if problem else 0.0,
    )


def _compare_numbers(staged: Array, whole: Array) -> Comparison:
    """Compare numbers of the same type and shape."""
    dtype = str(whole.dtype)
    tolerance = find_tolerance(dtype)
    nan_staged, nan_whole = _find_nans(staged), _find_nans(whole)
    both_nan = nan_staged & nan_whole
    same_bits = _as_bytes(staged) == _as_bytes(whole)
    bit_equal = bool(np.all(same_bits.all(axis=-1) | both_nan.reshape(-1)))
    equal = Comparison(
        dtype=dtype,
        bit_equal=True,
        within_tolerance=True,
        tolerance=tolerance,
        matching_nans=int(both_nan.sum()),
    )
    if bit_equal:
        return equal
    wide = np.complex128 if whole.dtype.kind == "c" else np.float64
    ours, theirs = staged.astype(wide), whole.astype(wide)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        # Infinities of the same sign differ by nothing; any other clash differs without bound.
        difference = np.where((ours == theirs) | both_nan, 0.0, np.abs(ours - theirs))
        difference = np.where(np.isnan(difference), math.inf, difference)
        relative = np.where(difference == 0, 0.0, difference / np.abs(theirs))
    relative = np.where(np.isnan(relative), math.inf, relative)
    largest = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0))
    worst = float(difference.max(initial=0.0))
    one_sided = int((nan_staged ^ nan_whole).sum())
    problem = f"{one_sided} NaNs are on one side only" if one_sided else ""
    return replace(
        equal,
        bit_equal=False,
        within_tolerance=worst <= tolerance * largest and not one_sided,
        max_absolute=worst,
        max_relative=float(relative.max(initial=0.0)),
        largest=largest,
        problem=problem,
        drift=math.inf if problem else _relate(worst, largest if tolerance else 0.0),
    )


def _relate(worst: float, largest: float) -> float:
    """Return a difference relative to a magnitude; infinite where there is none."""
    if not worst:
        return 0.0
    return worst / largest if largest else math.inf


def _find_nans(array: Array) -> npt.NDArray[np.bool_]:
    """Return where an array has NaNs; exotic float types are widened first."""
    if array.dtype.kind in "biu":
        return np.zeros(array.shape, dtype=np.bool_)
    wide = array if array.dtype.kind in "fc" else array.astype(np.float64)
    return np.asarray(np.isnan(wide))


def _as_bytes(array: Array) -> npt.NDArray[np.uint8]:
    """View an array as one row of bytes for each element."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, array.dtype.itemsize)
