"""Which operator runs where, what crosses, and where data lives."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from onnxsplit.errors import PlanError


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The tier of every operator.

    Parameters
    ----------
    tiers : tuple of str
        The chain's tiers, from the device on.
    tier_of : mapping of str to str
        Operator name to tier.

    Raises
    ------
    PlanError
        An operator is placed on a tier that is not in the chain.
    """

    tiers: tuple[str, ...]
    tier_of: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse unknown tiers."""
        for operator, tier in self.tier_of.items():
            if tier not in self.tiers:
                raise PlanError(
                    f"Operator {operator!r} is placed on {tier!r};"
                    f" the tiers are {', '.join(self.tiers)}."
                )

    @classmethod
    def of_groups(cls, groups: Mapping[str, Iterable[str]]) -> Self:
        """Build a placement from tier to operators, in the chain's order."""
        return cls(
            tiers=tuple(groups),
            tier_of={name: tier for tier, names in groups.items() for name in names},
        )

    def operators(self, tier: str) -> tuple[str, ...]:
        """Return the operators of one tier, in the mapping's order."""
        return tuple(name for name, where in self.tier_of.items() if where == tier)

    @property
    def is_proper(self) -> bool:
        """Whether no tier is left empty."""
        return set(self.tier_of.values()) == set(self.tiers)

    @property
    def verdict(self) -> str:
        """``split``, or ``all-<tier>`` when one tier holds every operator."""
        used = set(self.tier_of.values())
        return f"all-{used.pop()}" if len(used) == 1 else "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A tensor that travels over a link, paid once however many consumers it has.

    Parameters
    ----------
    tensor : str
    source, target : str
        Tiers; JSON calls them ``from`` and ``to``.
    dtype : str
    shape : tuple of int
    size_bytes : int
        On the link.
    wire : str or None
        How it travels, where that is not as it stands in memory.
    """

    tensor: str
    source: str
    target: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    wire: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the crossing as the plan holds it."""
        return {
            "tensor": self.tensor,
            "from": self.source,
            "to": self.target,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.size_bytes,
            **({} if self.wire is None else {"wire": self.wire}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StateHome:
    """A state, and the tier that keeps it from one run to the next.

    Parameters
    ----------
    past, present : str
        The model input, and the model output that becomes it.
    tier : str
    size_bytes : int or None
        What is kept after this run; None if it is not known.
    """

    past: str
    present: str
    tier: str
    size_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the state as the plan holds it."""
        return {
            "past": self.past,
            "present": self.present,
            "tier": self.tier,
            "bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHomes:
    """Where data lives that does not live on the first tier.

    Parameters
    ----------
    inputs, outputs : mapping of str to str
        Model input or output to the tier where it lives, or is wanted.
    states : tuple of StateHome
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    states: tuple[StateHome, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything lives elsewhere."""
        return bool(self.inputs or self.outputs or self.states)

    def sum_state_bytes(self, tier: str) -> int | None:
        """Return the bytes of state that a tier keeps; None if one is not known."""
        sizes = [state.size_bytes for state in self.states if state.tier == tier]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the homes as the plan holds them."""
        return {
            "inputs": dict(self.inputs),
            "outputs": dict(self.outputs),
            "states": [state.to_json() for state in self.states],
        }
