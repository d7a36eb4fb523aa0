"""Hold stages against the whole model: bit for bit unoptimised, within a tolerance optimised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Feeds, Session
from onnxsplit.evidence import OutputParity, ParityResult
from onnxsplit.graph import OperatorGraph
from onnxsplit.parity.chain import run_chain
from onnxsplit.parity.comparison import (
    Comparison,
    compare_structure,
    compare_values,
    merge_all,
)
from onnxsplit.progress import Progress, SilentProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableModel:
    """A model that an engine can load.

    Parameters
    ----------
    content : bytes or Path
        Serialized, or a file.
    base_folder : Path or None
        Where a serialized model's external data lies.
    """

    content: bytes | Path
    base_folder: Path | None = None

    def open(self, options: EngineOptions) -> Session:
        """Load it.

        Raises
        ------
        ModelError
            The engine can't load it.
        """
        return open_session(self.content, options, base_folder=self.base_folder)


def verify_stages(
    whole: RunnableModel,
    stages: Sequence[RunnableModel],
    batches: Sequence[Feeds],
    *,
    options: EngineOptions,
    source: str,
    random_outputs: frozenset[str] = frozenset(),
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
    progress : Progress, optional

    Returns
    -------
    ParityResult
        The worst over all batches. An output passes if it is bit-equal with optimisations disabled
        and within its type's tolerance at full optimisation.

    Raises
    ------
    ModelError
        A model can't be loaded or run.
    BundleError
        The stages do not fit together.
    """
    progress = progress or SilentProgress()
    # One thread: then the order of additions can't differ between the two.
    plain = replace(options, optimization="disabled", threads=1)
    progress.report("verifying, optimisations disabled", done=0, total=2)
    exact = _compare(whole, stages, batches, plain, random_outputs)
    progress.report("verifying, full optimisation", done=1, total=2)
    close = _compare(whole, stages, batches, replace(options, optimization="all"), random_outputs)
    progress.report("verified", done=2, total=2)
    outputs = tuple(
        _judge(name, exact[name], close[name], is_random=name in random_outputs) for name in exact
    )
    return ParityResult(outputs=outputs, batches=len(batches), source=source, notes=_note(outputs))


def find_random_outputs(graph: OperatorGraph) -> frozenset[str]:
    """Return the model outputs that depend on an operator which draws random numbers."""
    tainted: set[str] = set()
    for operator in graph:
        if operator.is_random or any(tensor in tainted for tensor in operator.inputs):
            tainted.update(operator.outputs)
    return frozenset(tainted & set(graph.outputs))


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
        wanted = [session.run(batch) for batch in batches]
    openers: list[Callable[[], Session]] = [
        lambda stage=stage: stage.open(options)  # type: ignore[misc]  # binds the loop's stage
        for stage in stages
    ]
    found = run_chain(openers, batches, names)
    return {
        name: merge_all(
            (compare_structure if name in random_outputs else compare_values)(
                ours[name], theirs[name]
            )
            for ours, theirs in zip(found, wanted, strict=True)
        )
        for name in names
    }


def _judge(name: str, exact: Comparison, close: Comparison, *, is_random: bool) -> OutputParity:
    """Turn the two comparisons of one output into a verdict."""
    problem = exact.problem or close.problem
    if not problem and not exact.bit_equal:
        problem = (
            "it is not bit-equal with optimisations disabled: the largest difference is"
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
        bit_equal=exact.bit_equal,
        max_absolute=close.max_absolute,
        max_relative=close.max_relative,
        tolerance=close.tolerance,
        matching_nans=exact.matching_nans,
        passed=exact.bit_equal and close.within_tolerance and not problem,
        comparison="shapes" if is_random else "values",
        problem=problem,
    )


def _note(outputs: Sequence[OutputParity]) -> tuple[str, ...]:
    """Say what the reader of the comparison should know."""
    random = [output.output for output in outputs if output.comparison == "shapes"]
    nans = [output.output for output in outputs if output.matching_nans]
    notes = []
    if random:
        notes.append(
            f"{', '.join(random)} depend on operators that draw random numbers, so only types and"
            " shapes were compared."
        )
    if nans:
        notes.append(
            f"The whole model gives NaN in {', '.join(nans)}, and so do the stages in the same"
            " places."
        )
    return tuple(notes)
