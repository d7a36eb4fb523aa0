"""Several shapes of one model: what may be said of them, and the grounds that they share."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from onnxsplit.errors import UsageError
from onnxsplit.workflows.grounds import Grounds, Surroundings
from onnxsplit.workflows.targets import TierSource

Mix = Sequence[tuple[Mapping[str, int], float]]
"""Symbolic dims and weight of each shape."""

_LOCAL = "local"


def check_mix(mix: Mix, *, has_inputs: bool, has_costs: bool, has_wires: bool) -> None:
    """Refuse a mix that is none, or that comes with what fixes a single shape.

    Raises
    ------
    UsageError
        It is of one shape, names a shape twice, or comes beside real inputs, a table of costs, or
        crossings that travel otherwise than they are.
    """
    if len(mix) < 2:  # noqa: PLR2004 - one shape makes no mix
        raise UsageError("--mix needs two shapes at least; one shape is given by --dim.")
    seen: list[Mapping[str, int]] = []
    for dims, _ in mix:
        if dict(dims) in seen:
            label = ",".join(f"{name}={size}" for name, size in dims.items())
            raise UsageError(f"--mix names {label} twice; add up the weights.")
        seen.append(dict(dims))
    wires = "--boundary, --input-bytes or --recompute"
    for flag, is_given in {"--inputs": has_inputs, "--costs": has_costs, wires: has_wires}.items():
        if is_given:
            raise UsageError(f"{flag} holds for one shape, and --mix is for {len(mix)}; drop one.")


def choose_sources(surroundings: Surroundings, place: int, count: int) -> Surroundings:
    """Return the machines with the profiles of one shape.

    Parameters
    ----------
    surroundings : Surroundings
        Profile files of several shapes are separated by commas, in the order of the mix.
    place, count : int
        Of the shape, and how many there are.

    Raises
    ------
    UsageError
        A tier does not have one profile for each shape.
    """
    return replace(
        surroundings,
        device=_choose(surroundings.device, "--device", place, count),
        server=_choose(surroundings.server, "--server", place, count),
        tiers={
            name: _choose(source, f"--tier {name}", place, count)
            for name, source in surroundings.tiers.items()
        },
    )


def join_grounds(grounds: Sequence[Grounds]) -> Grounds:
    """Return the first shape's grounds with the inputs of all, so that all are verified."""
    first = grounds[0]
    batches = tuple(chain.from_iterable(each.prepared.batches for each in grounds))
    return replace(first, prepared=replace(first.prepared, batches=batches))


def _choose(source: TierSource, flag: str, place: int, count: int) -> TierSource:
    """Return a tier's source for one shape; this machine serves all."""
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"{flag} is one profile, and a mix of {count} shapes needs one measured at each; give"
            " their files, separated by commas."
        )
    text = os.fspath(source)
    parts = [text] if Path(text).is_file() else [part.strip() for part in text.split(",")]
    if len(parts) == 1 and (text == _LOCAL or text.startswith(f"{_LOCAL}:")):
        return text
    if len(parts) != count:
        raise UsageError(
            f"{flag} {text} is {len(parts)} profile{'s' if len(parts) > 1 else ''}, and a mix of"
            f" {count} shapes needs {count}, one measured at each; separate them by commas, in the"
            " order of --mix."
        )
    return parts[place]
