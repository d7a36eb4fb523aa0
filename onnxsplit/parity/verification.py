"""Hold stages against the whole model: bit for bit unoptimised, within a tolerance optimised."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import DEFAULT_RUNTIME, EngineOptions, Feeds, Session
from onnxsplit.evidence import OutputParity, ParityResult
from onnxsplit.graph import OperatorGraph
from onnxsplit.parity.chain import run_chain
from onnxsplit.parity.comparison import (
    Comparison,
    allow_drift,
    compare_structure,
    compare_values,
    merge_all,
)
from onnxsplit.parity.tolerances import find_tolerance
from onnxsplit.progress import Progress, SilentProgress

_FLOAT16_NOTE = (
    "The model holds float16 values, which onnxruntime rounds at other places in a stage than in"
    " the whole; outputs were held to float16's tolerance."
)


_FOREIGN_NOTE = (
    "Stages ran on {runtimes}, and the whole on onnxruntime, which order their sums differently;"
    " outputs were held to the tolerance of their type, {tolerance:g} of the largest value at the"
    " least, and not to bit equality."
)


_LOWERED_NOTE = (
    "A stage was run as it was rewritten for its target; outputs were held to {tolerance:g} of the"
    " largest value at the least, and not to bit equality."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableModel:
    """A model that an engine can load.

    Parameters
    ----------
    content : bytes or Path
        Serialized, or a file.
    base_folder : Path or None
        Where a serialized model's external data lies.
    engine : EngineOptions or None
        What it will run on, where that is not what everything else runs on.
    rounding : str or None
        Element type to whose tolerance its results are held, where it was rewritten.
    """

    content: bytes | Path
    base_folder: Path | None = None
    engine: EngineOptions | None = None
    rounding: str | None = None

    @property
    def is_foreign(self) -> bool:
        """Tell whether it will run on another runtime than onnxruntime."""
        return self.engine is not None and self.engine.runtime != DEFAULT_RUNTIME

    @property
    def roundings(self) -> tuple[str, ...]:
        """Element types to whose tolerance its results are held."""
        foreign = ("float32",) if self.is_foreign else ()
        return foreign if self.rounding is None else (*foreign, self.rounding)

    def open(self, options: EngineOptions) -> Session:
        """Load it.

        Parameters
        ----------
        options : EngineOptions
            Where the model names its own engine, only the optimisation level and the threads.

        Raises
        ------
        ModelError
            The engine can't load it.
        """
        if self.engine is not None:
            options = replace(
                self.engine, optimization=options.optimization, threads=options.threads
            )
        return open_session(self.content, options, base_folder=self.base_folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftBudget:
    """How far outputs may differ because crossings travel narrower than they stand in memory.

    Parameters
    ----------
    most : float
        Relative to an output's largest finite magnitude.
    outputs : frozenset of str
        Those that depend on such a crossing; all others are held to bit equality.
    wires : mapping of str to str
        Tensor to the element type that it travels as.
    """

    most: float
    outputs: frozenset[str]
    wires: Mapping[str, str]


def verify_stages(  # noqa: PLR0913 - what is compared, on what, and what may differ
    whole: RunnableModel,
    stages: Sequence[RunnableModel],
    batches: Sequence[Feeds],
    *,
    options: EngineOptions,
    source: str,
    random_outputs: frozenset[str] = frozenset(),
    rounds_inside: bool = False,
    drift: DriftBudget | None = None,
    progress: Progress | None = None,
) -> ParityResult:
    """Run whole and stages on the same inputs and compare every model output.

    Parameters
    ----------
    whole : RunnableModel
    stages : sequence of RunnableModel
        In the order in which they run.
    batches : sequence of mapping
        Sets of inputs, at least one.
    options : EngineOptions
        Provider and threads; both optimisation levels are tried.
    source : str
        Where the inputs came from.
    random_outputs : frozenset of str
        Outputs that depend on random operators: of these only type and shape are compared.
    rounds_inside : bool
        The model holds float16 values; see `holds_float16`. Then float16's tolerance takes the
        place of bit equality, and a note says so.
    drift : DriftBudget, optional
        For the outputs that it names it takes the place of bit equality, and a note says so.
    progress : Progress, optional

    Returns
    -------
    ParityResult
        The worst over all batches. An output passes if it is bit-equal with optimisations disabled
        and within its type's tolerance at full optimisation. Where a stage runs on another runtime
        than onnxruntime, the tolerance takes the place of bit equality, and a note says so.

    Raises
    ------
    ModelError
        A model can't be loaded or run.
    BundleError
        The stages do not fit together.
    """
    progress = progress or SilentProgress()
    plain, full = list_levels(options.reference)
    progress.report("verifying, optimisations disabled", done=0, total=2)
    exact = _compare(whole, stages, batches, plain, random_outputs)
    progress.report("verifying, full optimisation", done=1, total=2)
    close = _compare(whole, stages, batches, full, random_outputs)
    progress.report("verified", done=2, total=2)
    drifting = drift.outputs if drift else frozenset()
    roundings = {rounding for stage in stages for rounding in stage.roundings}

    def allow(name: str, comparison: Comparison) -> Comparison:
        if rounds_inside:
            comparison = _loosen(comparison, "float16")
        if comparison.tolerance:
            for rounding in roundings:
                comparison = _loosen(comparison, rounding)
        if drift is not None and name in drifting - random_outputs:
            comparison = allow_drift(comparison, drift.most)
        return comparison

    outputs = tuple(
        _judge(
            name,
            allow(name, exact[name]),
            allow(name, close[name]),
            is_random=name in random_outputs,
            must_be_exact=not rounds_inside and not roundings and name not in drifting,
        )
        for name in exact
    )
    notes = (*_note_drift(drift, outputs), *_note(outputs))
    if rounds_inside and not all(output.bit_equal for output in outputs):
        notes = (*notes, _FLOAT16_NOTE)
    notes = (*_note_roundings(stages), *notes)
    return ParityResult(
        outputs=outputs,
        batches=len(batches),
        source=source,
        notes=notes,
        max_drift=None if drift is None else drift.most,
    )


def list_levels(options: EngineOptions) -> tuple[EngineOptions, EngineOptions]:
    """Return the optimisation levels to compare at: none, then all."""
    # One thread: then the order of additions can't differ between the two.
    plain = replace(options, optimization="disabled", threads=1)
    return plain, replace(options, optimization="all")


def find_random_outputs(graph: OperatorGraph) -> frozenset[str]:
    """Return the model outputs that depend on an operator which draws random numbers."""
    tainted: set[str] = set()
    for operator in graph:
        if operator.is_random or any(tensor in tainted for tensor in operator.inputs):
            tainted.update(operator.outputs)
    return frozenset(tainted & set(graph.outputs))


def holds_float16(graph: OperatorGraph) -> bool:
    """Tell whether a float16 value lies between operators.

    A provider that lacks float16 kernels computes in float32, and onnxruntime then leaves the
    rounding out between neighbours, but not where a cut makes the value an output; so whole and
    stages may differ by float16's rounding even with optimisations disabled.
    """
    return any(spec.dtype == "float16" for spec in graph.tensors.values())


def _note_roundings(stages: Sequence[RunnableModel]) -> Iterator[str]:
    """Say what ran other than the whole did, and what that allows."""
    if any(stage.is_foreign for stage in stages):
        runtimes = [DEFAULT_RUNTIME if s.engine is None else s.engine.runtime for s in stages]
        yield _FOREIGN_NOTE.format(
            runtimes=" and ".join(dict.fromkeys(runtimes)), tolerance=find_tolerance("float32")
        )
    rewritten = [find_tolerance(stage.rounding) for stage in stages if stage.rounding]
    if rewritten:
        yield _LOWERED_NOTE.format(tolerance=max(rewritten))


def _loosen(comparison: Comparison, dtype: str) -> Comparison:
    """Allow the rounding of an element type, whatever the type of the output."""
    tolerance = max(comparison.tolerance, find_tolerance(dtype))
    within = not comparison.problem and comparison.max_absolute <= tolerance * comparison.largest
    return replace(
        comparison,
        tolerance=tolerance,
        within_tolerance=comparison.within_tolerance or within,
    )


def _compare(
    whole: RunnableModel,
    stages: Sequence[RunnableModel],
    batches: Sequence[Feeds],
    options: EngineOptions,
    random_outputs: frozenset[str],
) -> dict[str, Comparison]:
    """Compare at one optimisation level; whole and stages are never loaded together."""
    with whole.open(options) as session:
        names = [spec.name for spec in session.outputs]
        wanted = [session.run(_copy(batch)) for batch in batches]
    openers: list[Callable[[], Session]] = [
        lambda stage=stage: stage.open(options)  # type: ignore[misc]  # binds the loop's stage
        for stage in stages
    ]
    found = run_chain(openers, [_copy(batch) for batch in batches], names)
    return {
        name: merge_all(
            (compare_structure if name in random_outputs else compare_values)(
                ours[name], theirs[name]
            )
            for ours, theirs in zip(found, wanted, strict=True)
        )
        for name in names
    }


def _copy(batch: Feeds) -> Feeds:
    """Copy inputs: onnxruntime's training-mode BatchNormalization writes into what it is fed."""
    return copy.deepcopy(dict(batch))


def _judge(
    name: str,
    exact: Comparison,
    close: Comparison,
    *,
    is_random: bool,
    must_be_exact: bool,
) -> OutputParity:
    """Turn the two comparisons of one output into a verdict."""
    problem = exact.problem or close.problem
    as_demanded = exact.bit_equal or (exact.within_tolerance and not must_be_exact)
    if not problem and not as_demanded:
        demand = "bit-equal" if must_be_exact else f"within {exact.tolerance:g}"
        problem = (
            f"it is not {demand} with optimisations disabled: the largest difference is"
            f" {exact.max_absolute:.3g}"
        )
    if not problem and not close.within_tolerance:
        problem = (
            f"at full optimisation the largest difference is {close.max_absolute:.3g}, beyond the"
            f" tolerance of {close.tolerance:g} of the largest value"
        )
    return OutputParity(
        output=name,
        dtype=exact.dtype,
        bit_equal=exact.bit_equal and not is_random,
        max_absolute=close.max_absolute,
        max_relative=close.max_relative,
        tolerance=close.tolerance,
        matching_nans=exact.matching_nans,
        passed=as_demanded and close.within_tolerance and not problem,
        comparison="shapes" if is_random else "values",
        problem=problem,
    )


def _note_drift(drift: DriftBudget | None, outputs: Sequence[OutputParity]) -> tuple[str, ...]:
    """Say which outputs were held to the drift budget, and why."""
    if drift is None:
        return ()
    held = [o.output for o in outputs if o.output in drift.outputs and o.comparison == "values"]
    if not held:
        return ()
    wires = ", ".join(f"{tensor} as {wire}" for tensor, wire in drift.wires.items())
    note = (
        f"Crossings travel narrower than they stand in memory ({wires}), so {', '.join(held)} were"
        f" held to the drift budget, {drift.most:g} of the largest value, and not to bit equality."
    )
    return (note,)


def _note(outputs: Sequence[OutputParity]) -> tuple[str, ...]:
    """Say what the reader of the comparison should know."""
    random = [output.output for output in outputs if output.comparison == "shapes"]
    nans = [output.output for output in outputs if output.matching_nans]
    notes = []
    if random:
        notes.append(
            f"Of {', '.join(random)} only types and shapes were compared: random numbers go into"
            f" {'it' if len(random) == 1 else 'them'}."
        )
    if nans:
        notes.append(
            f"The whole model gives NaN in {', '.join(nans)}, and so do the stages in the same"
            " places."
        )
    return tuple(notes)
