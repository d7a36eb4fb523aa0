"""Measured seconds of a model's operators on one tier: a portable file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from onnxsplit.errors import ProfileError
from onnxsplit.graph import ModelIdentity, TensorSpec
from onnxsplit.tiers import Evidence

PROFILE_SCHEMA = "onnxsplit.profile/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorGroup:
    """Operators that run as one kernel, and the seconds it takes.

    Parameters
    ----------
    operators : tuple of str
        At least one, each once.
    seconds : float
        One forward run; finite and not negative.
    backward_seconds : float or None
        One backward run, where measured.
    extra : mapping
        Further keys of the file, kept as they are.

    Raises
    ------
    ProfileError
        The group is empty or a time is negative or not finite.
    """

    operators: tuple[str, ...]
    seconds: float
    backward_seconds: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse empty groups and impossible times."""
        if not self.operators:
            raise ProfileError("A profile group lists no operators; each group needs at least one.")
        for name in ("seconds", "backward_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ProfileError(
                    f"The group of {self.operators[0]!r} has {name} = {value!r};"
                    " it must be finite and not negative."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryCost:
    """What a cut at a tensor adds on one tier, beyond the operators and the link.

    Parameters
    ----------
    send_seconds : float
        Added on the tier that makes the tensor: a layout turned back, a fusion lost.
    receive_seconds : float
        Added on the tier that takes it in. Both are finite and not negative.

    Raises
    ------
    ProfileError
        A time is negative or not finite.
    """

    send_seconds: float = 0.0
    receive_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible times."""
        for name in ("send_seconds", "receive_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ProfileError(
                    f"A boundary has {name} = {getattr(self, name)!r};"
                    " it must be finite and not negative."
                )

    def scale(self, speed: float) -> Self:
        """Return the cost on a machine ``speed`` times as fast."""
        return replace(
            self,
            send_seconds=self.send_seconds / speed,
            receive_seconds=self.receive_seconds / speed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a model's operators cost on one tier.

    Parameters
    ----------
    tier : str
        The tier it was measured for.
    model : ModelIdentity
        The model it belongs to; both hashes may be null in a file made by hand.
    groups : tuple of OperatorGroup
        A partition of the non-constant operators.
    tensors : mapping of str to TensorSpec
        Real sizes met while measuring.
    run_seconds : float
        What any run on this tier takes besides its operators, however few they are.
    boundaries : mapping of str to BoundaryCost
        Tensor to what a cut there adds; a tensor that is not listed adds nothing known.
    environment : mapping
        Where it was measured: runtime, provider, threads, CPU.
    evidence : str
        ``measured``, or ``scaled`` / ``assumed`` when no machine took these very seconds.
    assumptions : tuple of str
        Sentences that name what was assumed.
    extra : mapping
        Further keys of the file, kept as they are.

    Raises
    ------
    ProfileError
        An operator stands in two groups, or ``run_seconds`` is negative or not finite.
    """

    tier: str
    groups: tuple[OperatorGroup, ...]
    model: ModelIdentity = field(default_factory=ModelIdentity)
    tensors: Mapping[str, TensorSpec] = field(default_factory=dict)
    run_seconds: float = 0.0
    boundaries: Mapping[str, BoundaryCost] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    evidence: Evidence = "measured"
    assumptions: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an operator that would be counted twice, and an impossible time."""
        if not 0 <= self.run_seconds < math.inf:
            raise ProfileError(
                f"The profile has run_seconds = {self.run_seconds!r};"
                " it must be finite and not negative."
            )
        seen: set[str] = set()
        for group in self.groups:
            for name in group.operators:
                if name in seen:
                    raise ProfileError(
                        f"The profile lists operator {name!r} twice; groups must not overlap."
                    )
                seen.add(name)

    @property
    def total_seconds(self) -> float:
        """Seconds of the whole model: one run, one operator group after the other."""
        return math.fsum([self.run_seconds, *(group.seconds for group in self.groups)])

    def scale(self, speed: float) -> Self:
        """Return the profile of an imagined machine ``speed`` times as fast.

        Parameters
        ----------
        speed : float
            Positive; 0.05 is twenty times slower.

        Raises
        ------
        ProfileError
            The speed is not positive.
        """
        if not (speed > 0 and math.isfinite(speed)):
            raise ProfileError(f"The speed {speed!r} must be positive and finite, such as 0.05.")
        groups = tuple(
            replace(
                group,
                seconds=group.seconds / speed,
                backward_seconds=(
                    None if group.backward_seconds is None else group.backward_seconds / speed
                ),
            )
            for group in self.groups
        )
        assumption = (
            f"{self.tier} was not measured: it is taken to be {speed:g} times as fast as the"
            " machine of the profile."
        )
        return replace(
            self,
            groups=groups,
            run_seconds=self.run_seconds / speed,
            boundaries={name: cost.scale(speed) for name, cost in self.boundaries.items()},
            evidence="scaled",
            assumptions=(*self.assumptions, assumption),
            extra={**self.extra, "speed": speed},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the profile as the file holds it."""
        document: dict[str, Any] = {
            "schema": PROFILE_SCHEMA,
            "tier": self.tier,
            "model": {"sha256": self.model.sha256, "structure": self.model.structure},
            "evidence": self.evidence,
            "groups": [_group_to_json(group) for group in self.groups],
            "tensors": {
                name: {
                    "dtype": spec.dtype,
                    "shape": _list_or_none(spec.shape),
                    **_boundary_to_json(self.boundaries.get(name)),
                }
                for name, spec in self.tensors.items()
            },
            "environment": dict(self.environment),
        }
        if self.run_seconds:
            document["run_seconds"] = self.run_seconds
        if self.assumptions:
            document["assumptions"] = list(self.assumptions)
        return {**document, **self.extra}

    @classmethod
    def from_json(cls, document: Any) -> Self:  # noqa: ANN401 - JSON can be anything
        """Read a profile from its parsed JSON.

        Raises
        ------
        ProfileError
            The schema is unknown, a key is missing or a value has the wrong type.
        """
        if not isinstance(document, Mapping):
            raise ProfileError("A profile must be a JSON object.")
        schema = document.get("schema")
        if schema != PROFILE_SCHEMA:
            raise ProfileError(
                f"The profile's schema is {schema!r}; this version reads {PROFILE_SCHEMA!r}."
            )
        model = _read(document, "model", Mapping, default={})
        known = {
            "schema",
            "tier",
            "model",
            "evidence",
            "groups",
            "tensors",
            "run_seconds",
            "environment",
            "assumptions",
        }
        tensors = _read(document, "tensors", Mapping, default={})
        return cls(
            tier=_read(document, "tier", str),
            model=ModelIdentity(
                sha256=_read(model, "sha256", str | None, default=None),
                structure=_read(model, "structure", str | None, default=None),
            ),
            groups=tuple(_group_from_json(entry) for entry in _read(document, "groups", list)),
            tensors={name: _spec_from_json(name, entry) for name, entry in tensors.items()},
            run_seconds=float(_read(document, "run_seconds", int | float, default=0.0)),
            boundaries={
                name: _boundary_from_json(entry)
                for name, entry in tensors.items()
                if _BOUNDARY_KEYS & entry.keys()
            },
            environment=dict(_read(document, "environment", Mapping, default={})),
            evidence=_evidence(_read(document, "evidence", str, default="measured")),
            assumptions=tuple(_read(document, "assumptions", list, default=[])),
            extra={key: value for key, value in document.items() if key not in known},
        )


_REQUIRED = object()


def _read(document: Mapping[str, Any], key: str, kind: Any, *, default: Any = _REQUIRED) -> Any:  # noqa: ANN401 - JSON can be anything
    """Fetch a typed key, or say which key is wrong."""
    value = document.get(key, default)
    if value is _REQUIRED:
        raise ProfileError(f"The profile has no key {key!r}.")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ProfileError(f"The profile's key {key!r} has the wrong type: {value!r}.")
    return value


def _evidence(text: str) -> Evidence:
    """Read an evidence word."""
    match text:
        case "measured" | "scaled" | "assumed":
            return text
        case _:
            raise ProfileError(
                f"The profile's evidence is {text!r}; it must be measured, scaled or assumed."
            )


def _group_to_json(group: OperatorGroup) -> dict[str, Any]:
    """Write one group."""
    entry: dict[str, Any] = {"operators": list(group.operators), "seconds": group.seconds}
    if group.backward_seconds is not None:
        entry["backward_seconds"] = group.backward_seconds
    return {**entry, **group.extra}


def _group_from_json(entry: Any) -> OperatorGroup:  # noqa: ANN401 - JSON can be anything
    """Read one group."""
    if not isinstance(entry, Mapping):
        raise ProfileError(f"A profile group must be a JSON object, not {entry!r}.")
    operators = _read(entry, "operators", list)
    if not all(isinstance(name, str) for name in operators):
        raise ProfileError(f"A profile group's operators must be names, not {operators!r}.")
    backward = _read(entry, "backward_seconds", int | float | None, default=None)
    known = {"operators", "seconds", "backward_seconds"}
    return OperatorGroup(
        operators=tuple(operators),
        seconds=float(_read(entry, "seconds", int | float)),
        backward_seconds=None if backward is None else float(backward),
        extra={key: value for key, value in entry.items() if key not in known},
    )


def _spec_from_json(name: str, entry: Any) -> TensorSpec:  # noqa: ANN401 - JSON can be anything
    """Read one tensor's type and shape."""
    if not isinstance(entry, Mapping):
        raise ProfileError(f"The profile's tensor {name!r} must be a JSON object, not {entry!r}.")
    dtype = _read(entry, "dtype", str | None, default=None)
    shape = _read(entry, "shape", list | None, default=None)
    dims = None if shape is None else tuple(shape)
    if dims is not None and not all(
        isinstance(dim, int) and not isinstance(dim, bool) and dim >= 0 for dim in dims
    ):
        raise ProfileError(f"The profile's tensor {name!r} has the shape {shape!r}; dims are >= 0.")
    return TensorSpec(name=name, dtype=dtype, shape=dims)


_BOUNDARY_KEYS = frozenset({"send_seconds", "receive_seconds"})


def _boundary_to_json(cost: BoundaryCost | None) -> dict[str, float]:
    """Write what a cut at a tensor adds, where that is known."""
    if cost is None:
        return {}
    return {"send_seconds": cost.send_seconds, "receive_seconds": cost.receive_seconds}


def _boundary_from_json(entry: Mapping[str, Any]) -> BoundaryCost:
    """Read what a cut at a tensor adds."""
    return BoundaryCost(
        **{key: float(_read(entry, key, int | float, default=0.0)) for key in _BOUNDARY_KEYS}
    )


def _list_or_none(shape: Sequence[Any] | None) -> list[Any] | None:
    """Write a shape."""
    return None if shape is None else list(shape)
