"""Constraints taken apart: one piece for each thing that was said, called by its flag."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.units import format_duration, format_energy, format_size

MEMORY_KEY = "memory_limit_bytes"
"""What a profile calls the memory that its tier has."""

_GLOBS: Mapping[str, str] = {
    "pin_device": "--pin-device",
    "pin_server": "--pin-server",
    "banned_tensors": "--ban-tensor",
    "banned_dtypes": "--ban-dtype",
    "private_tensors": "--private",
    "keep_together": "--keep-together",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing that is demanded.

    Parameters
    ----------
    flag : str
        What it is called: the flag with its value.
    constraints : Constraints
        That thing alone.
    """

    flag: str
    constraints: Constraints


def take_apart(constraints: Constraints) -> tuple[Piece, ...]:
    """Return every single thing that constraints demand.

    Parameters
    ----------
    constraints : Constraints
    """
    return tuple(_list_pieces(constraints))


def take_memory(question: Question) -> tuple[Piece, ...]:
    """Return the memory limits that the profiles state.

    Parameters
    ----------
    question : Question
    """
    return tuple(
        Piece(
            flag=f"the {tier}'s {format_size(limit)} of memory ({MEMORY_KEY} of its profile)",
            constraints=Constraints(memory_bytes={tier: limit}),
        )
        for tier, profile in question.profiles.items()
        if isinstance(limit := profile.extra.get(MEMORY_KEY), int)
    )


def combine(one: Constraints, other: Constraints) -> Constraints:
    """Return what two demand together; of several memory limits of a tier the least holds.

    Parameters
    ----------
    one, other : Constraints
    """
    memory = dict(one.memory_bytes)
    for tier, limit in other.memory_bytes.items():
        memory[tier] = min(limit, memory.get(tier, limit))
    globs: Any = {name: getattr(one, name) + getattr(other, name) for name in _GLOBS}
    return replace(
        one,
        **globs,
        pins=one.pins + other.pins,
        memory_bytes=memory,
        device_operators=(
            other.device_operators if one.device_operators is None else one.device_operators
        ),
        device_lacks=one.device_lacks + other.device_lacks,
        private_depth=max(one.private_depth, other.private_depth),
        max_joules=other.max_joules if one.max_joules is None else one.max_joules,
        max_seconds=other.max_seconds if one.max_seconds is None else one.max_seconds,
        least_share=max(one.least_share, other.least_share),
        optimizer_slots=max(one.optimizer_slots, other.optimizer_slots),
    )


def _list_pieces(constraints: Constraints) -> Iterator[Piece]:
    """Yield the pieces."""
    bare = Constraints(optimizer_slots=constraints.optimizer_slots)
    for name, flag in _GLOBS.items():
        for pattern in getattr(constraints, name):
            values: Any = {name: (pattern,)}
            alone = replace(bare, **values)
            yield Piece(flag=f"{flag} {shlex.quote(pattern)}", constraints=alone)
    for tier, pattern in constraints.pins:
        alone = replace(bare, pins=((tier, pattern),))
        yield Piece(flag=f"--pin {shlex.quote(f'{tier}={pattern}')}", constraints=alone)
    if constraints.device_operators is not None or constraints.device_lacks:
        alone = replace(
            bare,
            device_operators=constraints.device_operators,
            device_lacks=constraints.device_lacks,
        )
        yield Piece(flag="--device-ops", constraints=alone)
    if constraints.private_depth:
        depth = constraints.private_depth
        yield Piece(flag=f"--private-depth {depth}", constraints=replace(bare, private_depth=depth))
    for tier, limit in constraints.memory_bytes.items():
        yield Piece(
            flag=f"--{tier}-memory {_squeeze(format_size(limit))}",
            constraints=replace(bare, memory_bytes={tier: limit}),
        )
    if constraints.max_joules is not None:
        joules = constraints.max_joules
        yield Piece(
            flag=f"--max-energy {_squeeze(format_energy(joules))}",
            constraints=replace(bare, max_joules=joules),
        )
    if constraints.max_seconds is not None:
        seconds = constraints.max_seconds
        yield Piece(
            flag=f"--max-latency {_squeeze(format_duration(seconds))}",
            constraints=replace(bare, max_seconds=seconds),
        )
    if constraints.least_share:
        share = constraints.least_share
        yield Piece(
            flag=f"--least-share {100 * share:g}%", constraints=replace(bare, least_share=share)
        )


def _squeeze(quantity: str) -> str:
    """Write a quantity as one word."""
    return quantity.replace(" ", "")
