"""Profiles for training: an unsplit step is measured, and its kernels are traced to operators.

A step reads its weights as inputs, so forward passes take longer than those of inference, whose
weights the runtime lays out anew once and for all. Hence ``seconds`` of such a profile are those of
the forward pass in training; ``backward_seconds`` are those of the way back and of the update.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from onnxsplit.autodiff.halves.owners import OwnedStep, build_owned_step
from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.engines.port import Array, Feeds
from onnxsplit.errors import UnknownShapeError
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.profiling.instruments import Subject
from onnxsplit.progress import Progress
from onnxsplit.workflows.benches import MeasuringOptions, measure_subject
from onnxsplit.workflows.labels import draw_label
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.trained_parameters import find_trained, list_frozen

PURPOSE = "training"
"""Under ``passes`` in a profile: what its seconds were measured in."""
_DIGITS = 9
_OPTIMIZER = "opt|"


def measure_training(
    prepared: PreparedModel,
    tier: str,
    recipe: Recipe,
    options: MeasuringOptions,
    progress: Progress,
) -> Profile:
    """Measure what each operator costs in training, forward and backward.

    Parameters
    ----------
    prepared : PreparedModel
        With inputs to run it on.
    tier : str
        The tier that this machine stands for.
    recipe : Recipe
    options : MeasuringOptions
    progress : Progress

    Returns
    -------
    Profile
        Of the model, not of the training step; operators that the runtime fuses are one group.

    Raises
    ------
    UnknownGradientError
        Operators on the way of gradients have no rule; all are named.
    UsageError
        The loss does not fit the model, or the provider is not available.
    ModelError
        The step can't be run.
    """
    progress.report("differentiating the model")
    frozen = list_frozen(prepared.graph, recipe.frozen, recipe)
    trained = find_trained(prepared.graph, frozen)
    step = build_owned_step(prepared.model, prepared.graph, trained, recipe)
    model = load_model(step.whole.proto)
    feeds = _make_feeds(step, prepared)
    graph = read_graph(model, resolve_tensors(model, feeds, options.engine))
    subject = Subject(model=model, graph=graph, feeds=feeds)
    measured = measure_subject(subject, tier, options, progress)
    return assemble_training(prepared.graph, step, measured)


def assemble_training(graph: OperatorGraph, step: OwnedStep, measured: Profile) -> Profile:
    """Turn the profile of a training step into one of the model.

    Parameters
    ----------
    graph : OperatorGraph
        Of the model.
    step : OwnedStep
    measured : Profile
        Of the step.

    Returns
    -------
    Profile
        A kernel's seconds go to the operators that it works for, in equal shares if there are
        several. What works for none, the schedule of an optimizer, is told as
        ``unattributed_seconds``.
    """
    sums = _Sums()
    for group in measured.groups:
        sums.take(group, step)
    groups = tuple(
        OperatorGroup(
            operators=names,
            seconds=round(sum(sums.forward.get(name, 0.0) for name in names), _DIGITS),
            backward_seconds=round(sum(sums.backward.get(name, 0.0) for name in names), _DIGITS),
        )
        for names in sums.join(graph)
    )
    return replace(
        measured,
        groups=groups,
        model=graph.identity,
        tensors={name: spec for name, spec in graph.tensors.items() if spec.size_bytes is not None},
        boundaries={},
        extra={
            "passes": PURPOSE,
            "method": measured.extra.get("method"),
            "operators": [operator.name for operator in graph],
            "whole_seconds": measured.extra.get("whole_seconds"),
            "interval_relative": measured.extra.get("interval_relative"),
            "unattributed_seconds": round(sums.other, _DIGITS),
        },
    )


@dataclass(slots=True, kw_only=True)
class _Sums:
    """Seconds by operator, and which operators run as one."""

    forward: dict[str, float] = field(default_factory=dict)
    backward: dict[str, float] = field(default_factory=dict)
    other: float = 0.0
    leader: dict[str, str] = field(default_factory=dict)

    def take(self, group: OperatorGroup, step: OwnedStep) -> None:
        """Take a group of the step's nodes in."""
        share = group.seconds / len(group.operators)
        together: list[str] = []
        for node in group.operators:
            if node in step.forward:
                owner = step.forward[node]
                self.forward[owner] = self.forward.get(owner, 0.0) + share
                together.append(owner)
                continue
            learner = _find_backward(step.backward, node)
            if learner is None:
                self.other += share
            else:
                self.backward[learner] = self.backward.get(learner, 0.0) + share
        for owner in together:
            self._unite(together[0], owner)

    def join(self, graph: OperatorGraph) -> list[tuple[str, ...]]:
        """Return the groups of operators whose forward passes run as one, in graph order."""
        groups: dict[str, list[str]] = {}
        for operator in graph:
            groups.setdefault(self._find(operator.name), []).append(operator.name)
        return [tuple(names) for names in groups.values()]

    def _find(self, name: str) -> str:
        """Return the operator that stands for a group."""
        while (above := self.leader.get(name, name)) != name:
            name = above
        return name

    def _unite(self, one: str, other: str) -> None:
        """Let two operators be in one group."""
        first, second = self._find(one), self._find(other)
        if first != second:
            self.leader[second] = first


def _find_backward(owners: Mapping[str, str], node: str) -> str | None:
    """Return the operator that a node of the way back, or of an update, works for."""
    if node.startswith(_OPTIMIZER):
        node = f"{node.rpartition('|')[0]}|"
    return owners.get(node)


def _make_feeds(step: OwnedStep, prepared: PreparedModel) -> Feeds:
    """Return what an unsplit step is fed.

    Raises
    ------
    UnknownShapeError
        The shape of the labels is not known.
    """
    head = step.step.forward.head
    label = draw_label(head.label, prepared.tensors.get(head.predictions[0]), head.class_axis)
    if label is None:
        raise UnknownShapeError(
            f"The shape of the labels for {head.predictions[0]!r} is not known; fix the model's"
            " input shapes with --shape or --dim."
        )
    given: dict[str, Array] = {
        "label": label,
        "learning_rate": np.asarray(0.01),
        "step": np.asarray(1),
        **{name: state.value for name, state in step.states.items()},
    }
    wanted = [value.name for value in step.whole.proto.graph.input]
    batch = prepared.batches[0]
    return {name: given[name] if name in given else batch[name] for name in wanted}
