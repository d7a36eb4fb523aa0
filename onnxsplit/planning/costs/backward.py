"""Backward seconds: as measured where a profile has them, else by a named table of ratios.

The table holds backward over forward seconds of training steps on a CPU with onnxruntime: an
assumption for any other machine, and every plan that rests on it says so. It multiplies what a
profile of inferences holds, and a forward pass in training, whose weights are inputs, takes longer
than one of an inference: `profile --training` measures both.
"""

from collections.abc import Mapping
from dataclasses import replace

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import OperatorGroup, Profile

BACKWARD_RATIOS: Mapping[str, float] = {
    "Conv": 2.5,
    "ConvTranspose": 2.7,
    "MatMul": 2.0,
    "Gemm": 3.0,
    "BatchNormalization": 1.4,
    "LayerNormalization": 3.8,
    "Gelu": 4.8,
    "Relu": 5.8,
    "Clip": 7.2,
    "HardSwish": 2.7,
    "Mul": 2.3,
    "Concat": 0.6,
    "MaxPool": 0.3,
}
"""Operator type to seconds backward over seconds forward: medians over sample networks, by the
bench ``backward`` of the tests. Relu, Gelu and LayerNormalization take too little of these networks
to be measured so; theirs are of single operators."""

OTHER_RATIO = 2.0
"""For types without a measurement."""

_HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def lacks_backward(profile: Profile) -> bool:
    """Tell whether some group's backward pass was not measured.

    Parameters
    ----------
    profile : Profile
    """
    return any(group.backward_seconds is None for group in profile.groups)


def fill_backward(profile: Profile, graph: OperatorGraph) -> Profile:
    """Return a profile in which every group has backward seconds.

    Parameters
    ----------
    profile : Profile
        In the graph's names.
    graph : OperatorGraph

    Returns
    -------
    Profile
        As given if every group has them; else groups without get their forward seconds times the
        ratio of the operator type that dominates them, and an assumption says so.
    """
    missing = [group for group in profile.groups if group.backward_seconds is None]
    if not missing:
        return profile
    types = sorted({find_dominant_type(group, graph) for group in missing})
    shown = ", ".join(f"{name} {BACKWARD_RATIOS.get(name, OTHER_RATIO):g}" for name in types[:6])
    assumption = (
        f"Backward passes were not measured on the {profile.tier}: {len(missing)} groups take their"
        f" forward seconds times a table of ratios ({shown}{', ...' if len(types) > 6 else ''})."  # noqa: PLR2004 - as many as are shown
    )
    groups = tuple(
        group
        if group.backward_seconds is not None
        else replace(
            group,
            backward_seconds=group.seconds
            * BACKWARD_RATIOS.get(find_dominant_type(group, graph), OTHER_RATIO),
        )
        for group in profile.groups
    )
    return replace(profile, groups=groups, assumptions=(*profile.assumptions, assumption))


def find_dominant_type(group: OperatorGroup, graph: OperatorGraph) -> str:
    """Return the operator type that a group's time mostly is: the first heavy one, else the first.

    Parameters
    ----------
    group : OperatorGroup
    graph : OperatorGraph
    """
    types = [graph.operator(name).op_type for name in group.operators]
    return next((name for name in types if name in _HEAVY), types[0])
