"""Several shapes of one model, and one placement for all: a prompt and its tokens, say.

What is minimised is the weighted sum over the shapes. Charges of one structure add up, so that the
minimum cut of the sum is exact; each shape has graph and profiles of its own, for sizes and seconds
differ, and the operators are the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import networkx as nx

from onnxsplit.errors import ProfileMismatchError
from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.coarsening import Cell, CoarseGraph
from onnxsplit.planning.costs.question import Question, Variant
from onnxsplit.prediction import CostPart, Prediction
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Evidence

_WEAKEST: tuple[Evidence, ...] = ("assumed", "scaled", "measured")


def pose_mix(questions: Sequence[tuple[Mapping[str, int], float, Question]]) -> Question:
    """Make one question of several shapes of a model.

    Parameters
    ----------
    questions : sequence of (mapping of str to int, float, Question)
        Symbolic dims, weight and question of each shape; they differ in sizes and profiles alone.

    Returns
    -------
    Question
        With the first shape's graph, and profiles whose seconds are weighted sums.

    Raises
    ------
    ProfileMismatchError
        The operators of the shapes differ.
    """
    _, _, first = questions[0]
    variants = tuple(
        Variant(dims=dict(dims), weight=weight, graph=question.graph, profiles=question.profiles)
        for dims, weight, question in questions
    )
    names = [operator.name for operator in first.graph]
    for variant in variants:
        if [operator.name for operator in variant.graph] != names:
            raise ProfileMismatchError(
                f"At {variant.label} the model has other operators than at {variants[0].label}, so"
                " no one placement serves both."
            )
    profiles = {
        tier: _mix_profiles([(v.weight, v.profiles[tier]) for v in variants])
        for tier in first.topology.tiers
    }
    return replace(first, profiles=profiles, variants=variants)


def list_questions(question: Question) -> list[tuple[float, Question]]:
    """Return the weight and the question of each shape; a question without a mix is its own."""
    if not question.variants:
        return [(1.0, question)]
    return [
        (
            variant.weight,
            replace(question, graph=variant.graph, profiles=variant.profiles, variants=()),
        )
        for variant in question.variants
    ]


def list_graphs(question: Question) -> list[OperatorGraph]:
    """Return the graph of each shape."""
    return [single.graph for _, single in list_questions(question)]


def time_cells(coarse: CoarseGraph, profiles: Mapping[str, Profile]) -> CoarseGraph:
    """Return the same cells with the seconds of other profiles, whose groups no cell divides."""
    seconds = [dict.fromkeys(profiles, 0.0) for _ in coarse.cells]
    for tier, profile in profiles.items():
        for group in profile.groups:
            seconds[coarse.cell_of[group.operators[0]]][tier] += group.seconds
    cells = tuple(
        Cell(operators=cell.operators, seconds=times)
        for cell, times in zip(coarse.cells, seconds, strict=True)
    )
    return replace(coarse, cells=cells)


def mix_predictions(weighted: Sequence[tuple[float, Prediction]]) -> Prediction:
    """Add up predictions, part by part; the evidence of a part is its weakest.

    Parameters
    ----------
    weighted : sequence of (float, Prediction)
    """
    gathered: dict[tuple[str, str], list[CostPart]] = {}
    for weight, prediction in weighted:
        for part in prediction.parts:
            entry = replace(part, seconds=weight * part.seconds)
            gathered.setdefault((part.kind, part.where), []).append(entry)
    parts = tuple(
        replace(
            same[0],
            seconds=math.fsum(part.seconds for part in same),
            evidence=_weaken(part.evidence for part in same),
        )
        for same in gathered.values()
    )
    joules = [
        weight * entry.total_joules for weight, entry in weighted if entry.total_joules is not None
    ]
    return Prediction(
        total_seconds=math.fsum(part.seconds for part in parts),
        parts=parts,
        total_joules=math.fsum(joules) if joules else None,
    )


def _mix_profiles(weighted: Sequence[tuple[float, Profile]]) -> Profile:
    """Add up the seconds of profiles; what any of them runs as one kernel stays together."""
    profiles = [profile for _, profile in weighted]
    kernels: nx.Graph[str] = nx.Graph()
    for group in chain.from_iterable(profile.groups for profile in profiles):
        nx.add_path(kernels, group.operators)
        kernels.add_nodes_from(group.operators)
    seconds: dict[str, float] = dict.fromkeys(kernels, 0.0)
    for weight, profile in weighted:
        for group in profile.groups:
            seconds[group.operators[0]] += weight * group.seconds
    groups = tuple(
        OperatorGroup(
            operators=tuple(name for name in seconds if name in members),
            seconds=math.fsum(seconds[name] for name in members),
        )
        for members in nx.connected_components(kernels)
    )
    assumptions = chain.from_iterable(profile.assumptions for profile in profiles)
    return replace(
        profiles[0],
        groups=groups,
        run_seconds=math.fsum(weight * profile.run_seconds for weight, profile in weighted),
        evidence=_weaken(profile.evidence for profile in profiles),
        assumptions=tuple(dict.fromkeys(assumptions)),
    )


def _weaken(evidence: Iterable[Evidence]) -> Evidence:
    """Return the weakest evidence."""
    return min(evidence, key=_WEAKEST.index)
