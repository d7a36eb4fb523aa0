"""What running the stages showed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from onnxsplit.errors import ProfileError
from onnxsplit.graph import ModelIdentity
from onnxsplit.tiers import Evidence

PARITY_SCHEMA = "onnxsplit.parity/1"
STAGES_SCHEMA = "onnxsplit.stages/1"


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
    max_drift : float or None
        How far outputs were allowed to drift, where crossings travel narrower than they stand in
        memory; for the outputs concerned equality is not claimed.
    """

    outputs: tuple[OutputParity, ...]
    batches: int
    source: str
    notes: tuple[str, ...] = ()
    max_drift: float | None = None

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
            **self._tell_drift(),
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
            **self._tell_drift(),
        }

    def _tell_drift(self) -> dict[str, Any]:
        """Return the drift that was allowed, where any was."""
        return {} if self.max_drift is None else {"max_drift": self.max_drift}


def join_results(results: Mapping[str, ParityResult]) -> ParityResult:
    """Join what several cuts of one model showed on the same inputs.

    Parameters
    ----------
    results : mapping of str to ParityResult
        By the cut's name; at least one.

    Returns
    -------
    ParityResult
        Of every output the worst, with the cut's name before its problem.
    """
    first = next(iter(results.values()))
    notes = dict.fromkeys(note for result in results.values() for note in result.notes)
    cuts = f"Verified {len(results)} cuts: {', '.join(results)}; of each output the worst is told."
    return replace(
        first,
        outputs=tuple(_find_worst(results, place) for place in range(len(first.outputs))),
        notes=(cuts, *notes),
    )


def _find_worst(results: Mapping[str, ParityResult], place: int) -> OutputParity:
    """Return the comparison of one output that is furthest from equality."""
    named = [(name, result.outputs[place]) for name, result in results.items()]
    name, worst = min(
        named, key=lambda entry: (entry[1].passed, entry[1].bit_equal, -entry[1].max_relative)
    )
    return replace(worst, problem=f"{name}: {worst.problem}") if worst.problem else worst


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """How long a stage took, run by itself.

    Parameters
    ----------
    tier : str
    crossings : tuple of str
        Tensors that cross in the split that the stage belongs to, in graph order.
    operators : int
        Live, non-constant operators of the stage.
    seconds : float
        The 20th percentile of its runs; finite and positive.
    runs : int
    interval_relative : float or None
        Half width of the 95 % interval of the low end, relative to it; None with too few runs.
    evidence : str
        ``measured``, or ``scaled`` where the machine is taken to be faster or slower.

    Raises
    ------
    ProfileError
        The time is not finite and positive.
    """

    tier: str
    crossings: tuple[str, ...]
    operators: int
    seconds: float
    runs: int
    interval_relative: float | None = None
    evidence: Evidence = "measured"

    def __post_init__(self) -> None:
        """Refuse a time that no stage takes."""
        if not 0 < self.seconds < math.inf:
            raise ProfileError(
                f"The stage of the {self.tier} has seconds = {self.seconds!r};"
                " it must be finite and positive."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the timing as a stage-times file holds it."""
        return {
            "tier": self.tier,
            "crossings": list(self.crossings),
            "operators": self.operators,
            "seconds": self.seconds,
            "runs": self.runs,
            "interval_relative": self.interval_relative,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimings:
    """Stages of one bundle, timed on one machine.

    Parameters
    ----------
    model : ModelIdentity
        The model that was cut.
    sizes : mapping of str to tuple of int
        Shape of every model input that the stages were run for.
    timings : tuple of StageTiming
    environment : mapping
        Where they were run: runtime, provider, threads, CPU.
    """

    model: ModelIdentity
    timings: tuple[StageTiming, ...]
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what a stage-times file holds (``onnxsplit.stages/1``)."""
        return {
            "schema": STAGES_SCHEMA,
            "model": {"sha256": self.model.sha256, "structure": self.model.structure},
            "sizes": {name: list(shape) for name, shape in self.sizes.items()},
            "stages": [timing.to_json() for timing in self.timings],
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, document: Any) -> Self:  # noqa: ANN401 - JSON can be anything
        """Read stage times from their parsed JSON.

        Raises
        ------
        ProfileError
            The schema is unknown, a key is missing or a value has the wrong type.
        """
        schema = document.get("schema") if isinstance(document, Mapping) else None
        if schema != STAGES_SCHEMA:
            raise ProfileError(
                f"The schema of the stage times is {schema!r}; this version reads"
                f" {STAGES_SCHEMA!r}, which `onnxsplit profile --stages` writes."
            )
        try:
            model = document["model"]
            return cls(
                model=ModelIdentity(sha256=model["sha256"], structure=model["structure"]),
                sizes={
                    name: tuple(map(int, shape))
                    for name, shape in document.get("sizes", {}).items()
                },
                timings=tuple(_read_timing(entry) for entry in document["stages"]),
                environment=dict(document.get("environment", {})),
            )
        except KeyError as error:
            raise ProfileError(f"The stage times have no key {error.args[0]!r}.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ProfileError(f"The stage times are malformed: {error}.") from error


def _read_timing(entry: Mapping[str, Any]) -> StageTiming:
    """Read one stage's timing; KeyError, TypeError or ValueError if it is malformed."""
    interval = entry.get("interval_relative")
    return StageTiming(
        tier=str(entry["tier"]),
        crossings=tuple(map(str, entry["crossings"])),
        operators=int(entry["operators"]),
        seconds=float(entry["seconds"]),
        runs=int(entry["runs"]),
        interval_relative=None if interval is None else float(interval),
    )
