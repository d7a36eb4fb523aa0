"""How far outputs drift when crossings travel narrower than they stand in memory.

The drift of an output is `onnxsplit.parity.comparison.Comparison.drift`: the measure that parity's
tolerances use.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from onnxsplit.engines.port import EngineOptions, Feeds, Session, Value
from onnxsplit.graph import OperatorGraph
from onnxsplit.parity.chain import run_chain
from onnxsplit.parity.comparison import compare_values
from onnxsplit.parity.verification import RunnableModel, list_levels
from onnxsplit.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMeter:
    """Measures stages against the whole model, which is run once for all of them.

    Parameters
    ----------
    batches : tuple of mapping
        Calibration inputs, at least one.
    outputs : tuple of str
        The outputs whose drift counts.
    levels : tuple of (EngineOptions, tuple of mapping)
        The optimisation levels that `verify_stages` tries, and what the whole model gives for
        each batch at each of them.
    """

    batches: tuple[Feeds, ...]
    outputs: tuple[str, ...]
    levels: tuple[tuple[EngineOptions, tuple[Mapping[str, Value], ...]], ...] = field(repr=False)

    @classmethod
    def open(
        cls,
        whole: RunnableModel,
        batches: Sequence[Feeds],
        outputs: Iterable[str],
        options: EngineOptions,
    ) -> "DriftMeter":
        """Run the whole model.

        Raises
        ------
        ModelError
            It can't be loaded or run.
        """
        names = tuple(outputs)
        levels = []
        for level in list_levels(options):
            with whole.open(level) as session:
                wanted = (session.run(copy.deepcopy(dict(batch)), names) for batch in batches)
                levels.append((level, tuple(wanted)))
        return cls(batches=tuple(batches), outputs=names, levels=tuple(levels))

    def measure(self, stages: Sequence[RunnableModel]) -> float:
        """Return the largest drift of any output over all batches; ``inf`` if it has no bound.

        Raises
        ------
        ModelError
            A stage can't be loaded or run.
        BundleError
            The stages do not fit together.
        """
        return max(
            (
                compare_values(ours[name], theirs[name]).drift
                for level, wanted in self.levels
                for ours, theirs in zip(self._run(stages, self.outputs, level), wanted, strict=True)
                for name in self.outputs
            ),
            default=0.0,
        )

    def collect(
        self, stages: Sequence[RunnableModel], tensors: Sequence[str]
    ) -> dict[str, list[Value]]:
        """Return what some crossings hold, batch by batch; raises as `measure`."""
        found = self._run(stages, tensors, self.levels[-1][0])
        return {name: [values[name] for values in found] for name in tensors}

    def _run(
        self, stages: Sequence[RunnableModel], names: Sequence[str], options: EngineOptions
    ) -> list[dict[str, Value]]:
        """Run the stages on every batch."""
        openers: list[Callable[[], Session]] = [
            lambda stage=stage: stage.open(options)  # type: ignore[misc]  # binds the loop's
            for stage in stages
        ]
        return run_chain(openers, [copy.deepcopy(dict(batch)) for batch in self.batches], names)


def find_drifting_outputs(
    graph: OperatorGraph, placement: Placement, narrowed: AbstractSet[str]
) -> frozenset[str]:
    """Return the model outputs that depend on a tensor which arrived narrowed.

    Parameters
    ----------
    graph : OperatorGraph
    placement : Placement
    narrowed : set of str
        Tensors. The tier that makes one reads it as it stands.
    """
    tainted: set[str] = set()
    for operator in graph:
        tier = placement.tier_of[operator.name]
        for tensor in operator.inputs:
            maker = graph.producer(tensor)
            arrives = maker is not None and placement.tier_of[maker] != tier
            if (arrives and tensor in narrowed) or tensor in tainted:
                tainted.update(operator.outputs)
    return frozenset(tainted & set(graph.outputs))
