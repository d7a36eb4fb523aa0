"""Placements from files: a plan, a bundle's ``split.json``, or just tier to operators."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxsplit.errors import UsageError
from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Placement


def read_placement(
    path: Path, graph: OperatorGraph, tiers: tuple[str, ...], *, flag: str = "--placement"
) -> Placement:
    """Read a placement of a model's operators.

    Parameters
    ----------
    path : Path
        JSON: ``{"device": [operators], "server": [operators]}``, or a document that holds this
        under ``placement`` or ``plan.placement``.
    graph : OperatorGraph
    tiers : tuple of str
        The chain's tiers.
    flag : str
        What to call the option by.

    Raises
    ------
    UsageError
        The file can't be read, or does not place every operator on one tier.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{flag} {path}: it can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{flag} {path}: it is no JSON: {error}.") from error
    groups = _find_groups(document)
    if groups is None or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in groups.values()
    ):
        raise UsageError(f"{flag} {path}: it must map each tier to a list of operator names.")
    return check_placement(groups, graph, tiers, f"{flag} {path}")


def check_placement(
    groups: Mapping[str, list[str]], graph: OperatorGraph, tiers: tuple[str, ...], source: str
) -> Placement:
    """Check that every operator is on just one known tier, and order it as the graph is.

    Raises
    ------
    UsageError
        A tier or operator is unknown, or an operator is placed twice or never.
    """
    unknown_tiers = sorted(set(groups) - set(tiers))
    if unknown_tiers:
        raise UsageError(
            f"{source}: there is no tier {unknown_tiers[0]!r}; the tiers are {', '.join(tiers)}."
        )
    tier_of: dict[str, str] = {}
    for tier, names in groups.items():
        for name in names:
            if name not in graph:
                raise UsageError(f"{source}: the model has no operator {name!r} to place.")
            if name in tier_of:
                raise UsageError(f"{source}: the operator {name!r} is placed twice.")
            tier_of[name] = tier
    missing = [operator.name for operator in graph if operator.name not in tier_of]
    if missing:
        raise UsageError(f"{source}: the operator {missing[0]!r} is not placed.")
    ordered = {operator.name: tier_of[operator.name] for operator in graph}
    return Placement(tiers=tiers, tier_of=ordered)


def _find_groups(document: object) -> Mapping[str, Any] | None:
    """Find the mapping of tiers to operators in a document."""
    if not isinstance(document, Mapping):
        return None
    for key in ("placement", "plan"):
        if isinstance(document.get(key), Mapping):
            return _find_groups(document[key])
    return document
