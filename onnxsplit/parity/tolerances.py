"""How far outputs may differ at full optimisation, where fusions differ across the cut.

A tolerance is relative to the largest finite magnitude of the whole model's output: differences of
rounding grow with the largest terms of a sum, not with each single result.
"""

from collections.abc import Mapping

TOLERANCES: Mapping[str, float] = {
    "float64": 1e-10,
    "float32": 1e-4,
    "complex128": 1e-10,
    "complex64": 1e-4,
    "float16": 1e-2,
    "bfloat16": 5e-2,
    "float8_e4m3fn": 2.5e-1,
    "float8_e4m3fnuz": 2.5e-1,
    "float8_e5m2": 5e-1,
    "float8_e5m2fnuz": 5e-1,
}
"""Element type to tolerance; all others (integers, booleans, strings) must be equal."""


def find_tolerance(dtype: str) -> float:
    """Return the tolerance of a numpy or ml_dtypes element type; 0 demands equality."""
    return TOLERANCES.get(dtype, 0.0)
