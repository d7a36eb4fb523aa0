"""Does a profile fit a model, and under which names."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from onnxsplit.errors import ProfileMismatchError
from onnxsplit.graph import ModelIdentity, OperatorGraph
from onnxsplit.profiles import Profile

_SHOWN = 3


def match_profile(profile: Profile, graph: OperatorGraph) -> Profile:
    """Return the profile in the names of a model's operators.

    Parameters
    ----------
    profile : Profile
    graph : OperatorGraph

    Returns
    -------
    Profile
        As given if the models' hashes are equal, or if both hashes are null and its groups name
        just the model's operators. If only the structures are equal, operators are mapped by
        place, and an assumption says so.

    Raises
    ------
    ProfileMismatchError
        It belongs to another model, or does not list every operator once.
    """
    check_identity(profile, graph.identity)
    if shares_names(profile, graph.identity):
        return _check_operators(profile, graph)
    return _map_by_place(profile, graph)


def check_identity(profile: Profile, identity: ModelIdentity) -> None:
    """Refuse a profile whose hashes are those of another model.

    Raises
    ------
    ProfileMismatchError
        Neither the hash of the file nor that of the structure is this model's.
    """
    theirs = profile.model
    if shares_names(profile, identity) or (
        theirs.structure is not None and theirs.structure == identity.structure
    ):
        return
    raise ProfileMismatchError(
        f"The {profile.tier} profile was measured on another model (its sha256 begins with"
        f" {_abbreviate(theirs.sha256)}, this model's with {_abbreviate(identity.sha256)}, and"
        " their structures differ); run `onnxsplit profile` on this one."
    )


def shares_names(profile: Profile, identity: ModelIdentity) -> bool:
    """Tell whether a profile speaks of this very model, so that names mean the same in both."""
    theirs = profile.model
    if theirs.sha256 is None and theirs.structure is None:
        return True
    return theirs.sha256 is not None and theirs.sha256 == identity.sha256


def _map_by_place(profile: Profile, graph: OperatorGraph) -> Profile:
    """Give operators of an equally built model this model's names."""
    listed = profile.extra.get("operators")
    theirs = list(listed) if isinstance(listed, list) else _list_operators(profile)
    if set(theirs) == {operator.name for operator in graph}:
        return _check_operators(profile, graph)
    if len(theirs) != len(graph) or set(theirs) != set(_list_operators(profile)):
        raise ProfileMismatchError(
            f"The {profile.tier} profile lists {len(theirs)} operators in a model of {len(graph)};"
            " run `onnxsplit profile` on this model."
        )
    names = dict(zip(theirs, (operator.name for operator in graph), strict=True))
    groups = tuple(
        replace(group, operators=tuple(names[name] for name in group.operators))
        for group in profile.groups
    )
    assumption = (
        f"The {profile.tier} profile was measured on a model of the same structure;"
        " its operators were mapped by place."
    )
    return replace(
        profile,
        groups=groups,
        assumptions=(*profile.assumptions, assumption),
        extra={**profile.extra, "operators": [operator.name for operator in graph]},
    )


def _check_operators(profile: Profile, graph: OperatorGraph) -> Profile:
    """Refuse a profile that does not list every operator of the model."""
    listed = _list_operators(profile)
    unknown = [name for name in listed if name not in graph]
    present = set(listed)
    missing = [operator.name for operator in graph if operator.name not in present]
    if not unknown and not missing:
        return profile
    problems = []
    if missing:
        problems.append(f"it lacks {_enumerate(missing)}")
    if unknown:
        close = difflib.get_close_matches(unknown[0], missing, n=1)
        hint = f" (is {unknown[0]!r} meant to be {close[0]!r}?)" if close else ""
        problems.append(f"it lists {_enumerate(unknown)}, unknown to the model{hint}")
    raise ProfileMismatchError(
        f"The {profile.tier} profile does not fit the model: {', and '.join(problems)}."
    )


def _list_operators(profile: Profile) -> list[str]:
    """Return the profile's operators in the order in which they are listed."""
    return [name for group in profile.groups for name in group.operators]


def _enumerate(names: Sequence[str]) -> str:
    """Name a few and count the rest."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    rest = len(names) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _abbreviate(digest: str | None) -> str:
    """Shorten a hash."""
    return digest[:8] if digest else "nothing"
