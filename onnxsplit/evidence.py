"""What running the stages showed."""

from dataclasses import dataclass
from typing import Any

PARITY_SCHEMA = "onnxsplit.parity/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputParity:
    """How one model output of the stages compares with that of the whole model.

    Parameters
    ----------
    output : str
    dtype : str
    bit_equal : bool
        Equal bit for bit with optimisations disabled on both sides; False where only shapes were
        compared.
    max_absolute, max_relative : float
        Largest difference at full optimisation; relative to the whole model's value.
    tolerance : float
        What is accepted at full optimisation: ``|a - b| <= tolerance * max|b|``, where ``b`` is
        the whole model's output and the maximum runs over its finite elements.
    matching_nans : int
        NaNs that the whole model gives in the same places.
    passed : bool
    comparison : str
        ``values``, or ``shapes`` where random operators make values incomparable.
    problem : str
        Why it did not pass, in a sentence; empty if it did.
    """

    output: str
    dtype: str
    bit_equal: bool
    max_absolute: float
    max_relative: float
    tolerance: float
    matching_nans: int
    passed: bool
    comparison: str = "values"
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as ``verify --format json`` prints it."""
        return {
            "output": self.output,
            "dtype": self.dtype,
            "comparison": self.comparison,
            "passed": self.passed,
            "bit_equal": self.bit_equal,
            "max_absolute": self.max_absolute,
            "max_relative": self.max_relative,
            "tolerance": self.tolerance,
            "matching_nans": self.matching_nans,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityResult:
    """Stages against the whole model.

    Parameters
    ----------
    outputs : tuple of OutputParity
        One for each model output, in order; the worst over all batches.
    batches : int
        Sets of inputs that were run.
    source : str
        Where the inputs came from: ``drawn with seed N`` or ``given``.
    notes : tuple of str
        Sentences that the reader should know.
    """

    outputs: tuple[OutputParity, ...]
    batches: int
    source: str
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every output passed."""
        return all(output.passed for output in self.outputs)

    @property
    def bit_equal(self) -> bool:
        """Whether every output was bit-equal with optimisations disabled."""
        return all(output.bit_equal for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the result as ``verify --format json`` prints it."""
        return {
            "schema": PARITY_SCHEMA,
            "passed": self.passed,
            "bit_equal": self.bit_equal,
            "batches": self.batches,
            "inputs": self.source,
            "outputs": [output.to_json() for output in self.outputs],
            "notes": list(self.notes),
        }

    def to_manifest(self) -> dict[str, Any]:
        """Return the part of it that is the same on every run, for ``split.json``."""
        return {
            "passed": self.passed,
            "bit_equal": self.bit_equal,
            "batches": self.batches,
            "inputs": self.source,
            "outputs": [
                {
                    "output": output.output,
                    "comparison": output.comparison,
                    "passed": output.passed,
                    "bit_equal": output.bit_equal,
                    "tolerance": output.tolerance,
                }
                for output in self.outputs
            ],
            "notes": list(self.notes),
        }
