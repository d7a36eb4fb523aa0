"""What a caller may say of limits: privacy, memory, energy, time and the share of the work."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from onnxsplit.engines.port import RUNTIMES, Runtime
from onnxsplit.errors import UsageError
from onnxsplit.objectives import Energy, Objective, Power
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.limits import find_tier
from onnxsplit.tiers import DEVICE, SERVER
from onnxsplit.units import parse_duration, parse_energy, parse_size

ListPath = str | os.PathLike[str]


class LimitWishes(TypedDict, total=False):
    """Keyword arguments of every call that plans; `LimitRequest` says what they mean."""

    device_ops: ListPath | None
    ban_tensor: Sequence[str]
    ban_dtype: Sequence[str]
    private_depth: int
    private: Sequence[str]
    keep_together: Sequence[str]
    device_memory: str | int | None
    server_memory: str | int | None
    max_energy: str | float | None
    max_latency: str | float | None
    least_share: float
    powers: Mapping[str, Power]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRequest:
    """What a caller says of limits.

    Parameters
    ----------
    device_ops : path or str, optional
        The operator types that the device's runtime has, one a line or a JSON list; or
        ``openvino``, to ask it itself about every operator.
    ban_tensor, ban_dtype : sequence of str
        Globs over names, and element types, of values that may not travel.
    private_depth : int
        Nothing leaves the device with fewer operators behind it.
    private : sequence of str
        Globs over values that must not leave the device, nor anything they are made from.
    keep_together : sequence of str
        Globs over operators, or ``op:TYPE``; those of one glob share a tier.
    device_memory, server_memory : str or int, optional
        Sizes with their units, or bytes, for weights and values.
    max_energy, max_latency : str or float, optional
        Quantities with their units, or joules and seconds.
    least_share : float
        Of the work, that every tier must have.
    powers : mapping of str to Power
        Tier to what it draws; ``device`` and ``server`` stand for the first and the last tier.
    """

    device_ops: ListPath | None = None
    ban_tensor: Sequence[str] = ()
    ban_dtype: Sequence[str] = ()
    private_depth: int = 0
    private: Sequence[str] = ()
    keep_together: Sequence[str] = ()
    device_memory: str | int | None = None
    server_memory: str | int | None = None
    max_energy: str | float | None = None
    max_latency: str | float | None = None
    least_share: float = 0.0
    powers: Mapping[str, Power] = field(default_factory=dict)

    @property
    def asked_runtime(self) -> Runtime | None:
        """The runtime that is itself asked what the device can run, if that was wanted."""
        return next((name for name in RUNTIMES if name == self.device_ops), None)

    def limit(self, constraints: Constraints) -> Constraints:
        """Add the limits to constraints.

        Raises
        ------
        UsageError
            A quantity or the file of operator types can't be read.
        """
        sizes = {DEVICE: self.device_memory, SERVER: self.server_memory}
        energy, time = self.max_energy, self.max_latency
        return replace(
            constraints,
            device_operators=(
                None
                if self.device_ops is None or self.asked_runtime is not None
                else read_types(self.device_ops)
            ),
            banned_tensors=tuple(self.ban_tensor),
            banned_dtypes=tuple(self.ban_dtype),
            private_depth=self.private_depth,
            private_tensors=tuple(self.private),
            keep_together=tuple(self.keep_together),
            memory_bytes={
                tier: parse_size(size) if isinstance(size, str) else size
                for tier, size in sizes.items()
                if size is not None
            },
            max_joules=parse_energy(energy) if isinstance(energy, str) else energy,
            max_seconds=parse_duration(time) if isinstance(time, str) else time,
            least_share=self.least_share,
        )


def name_powers(powers: Mapping[str, Power], tiers: tuple[str, ...]) -> dict[str, Power]:
    """Return powers by the names of a chain's tiers.

    Raises
    ------
    UsageError
        There is no such tier.
    """
    return {find_tier(tiers, name): power for name, power in powers.items()}


def name_objective(objective: Objective, tiers: tuple[str, ...]) -> Objective:
    """Return an objective with powers by the names of a chain's tiers.

    Raises
    ------
    UsageError
        There is no such tier.
    """
    if not isinstance(objective, Energy):
        return objective
    return replace(objective, powers=name_powers(objective.powers, tiers))


def read_types(path: ListPath) -> tuple[str, ...]:
    """Read operator types: a JSON list, or one a line; ``#`` begins a comment.

    A type outside the default domain may be written as ``domain::Type``.

    Raises
    ------
    UsageError
        The file can't be read, is no such list, or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"--device-ops {path}: it can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--device-ops {path}: it is no text in UTF-8.") from error
    if text.lstrip().startswith(("[", "{")):
        types = _read_list(text, path)
    else:
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        types = [line for line in lines if line]
    if not types:
        raise UsageError(f"--device-ops {path}: it names no operator type; write one a line.")
    return tuple(types)


def _read_list(text: str, path: ListPath) -> list[str]:
    """Read a JSON list of texts."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--device-ops {path}: it is no JSON: {error}.") from error
    if not isinstance(document, list) or not all(isinstance(item, str) for item in document):
        raise UsageError(f"--device-ops {path}: it must be a list of operator types.")
    return document
