"""How halves are trained, as a value: loss, labels, optimizer, and what stays as it is."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from onnxsplit.errors import UsageError, suggest
from onnxsplit.objectives import Side

OptimizerName = Literal["sgd", "adam", "adamw"]
Norms = Literal["train", "frozen"]
Tied = Literal["untie", "keep"]

LOSSES = ("cross-entropy", "mse")
"""Losses that need no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """An optimizer and its constants; the learning rate is given with every step.

    Parameters
    ----------
    name : str
        ``sgd``, ``adam`` or ``adamw``.
    momentum : float
        Of ``sgd``; 0 keeps no state.
    weight_decay : float
        Of ``sgd`` and ``adam`` an addition to the gradient, of ``adamw`` apart from it.
    beta1, beta2, epsilon : float
        Of ``adam`` and ``adamw``.

    Raises
    ------
    UsageError
        The name is unknown, or a constant is out of its range.
    """

    name: OptimizerName = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        """Refuse what no optimizer can work with."""
        if self.name not in get_args(OptimizerName):
            known = suggest(self.name, get_args(OptimizerName))
            raise UsageError(f"The optimizer {self.name!r} is unknown. {known}")
        for name in ("momentum", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"The optimizer's {name} is {getattr(self, name)}; give 0 to 1.")
        if not 0 <= self.weight_decay < 1:
            raise UsageError(f"The weight decay is {self.weight_decay}; give 0 to 1.")
        if not 0 < self.epsilon < 1:
            raise UsageError(f"The optimizer's epsilon is {self.epsilon}; give a little over 0.")

    @property
    def slots(self) -> tuple[str, ...]:
        """What is kept for each parameter, beside its value."""
        if self.name == "sgd":
            return ("momentum",) if self.momentum else ()
        return ("mean", "variance")

    def to_json(self) -> dict[str, Any]:
        """Return the optimizer as a manifest holds it."""
        kept = ("momentum",) if self.name == "sgd" else ("beta1", "beta2", "epsilon")
        return {"name": self.name, **{key: getattr(self, key) for key in (*kept, "weight_decay")}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How halves are trained.

    Parameters
    ----------
    loss : str
        ``cross-entropy``, ``mse``, or the path of an ONNX model that gives a scalar.
    labels_at : str
        Where the labels live, and with them the loss: ``server`` or ``device``.
    optimizer : Optimizer
    norms : str
        ``train``: batch statistics are used and running ones kept; ``frozen``: as for inference,
        and neither statistics nor scales change.
    tied : str
        Of a parameter that several operators read: ``untie`` gives each its own copy, ``keep``
        trains the one.
    frozen : tuple of str
        Globs over operator names, ``op:TYPE`` and initializer names.
    recompute : bool
        Let the device run its forward pass again on the way back, rather than keep what it made.

    Raises
    ------
    UsageError
        A value is none of those.
    """

    loss: str = "cross-entropy"
    labels_at: Side = "server"
    optimizer: Optimizer = field(default_factory=Optimizer)
    norms: Norms = "train"
    tied: Tied = "untie"
    frozen: tuple[str, ...] = ()
    recompute: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        for name, allowed in (
            ("labels_at", get_args(Side)),
            ("norms", get_args(Norms)),
            ("tied", get_args(Tied)),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name} is {getattr(self, name)!r}; give {' or '.join(allowed)}.")
        if self.loss not in LOSSES and not self.loss.endswith(".onnx"):
            raise UsageError(
                f"The loss {self.loss!r} is unknown; give {' or '.join(LOSSES)}, or an ONNX file"
                " that takes predictions and a label and gives a scalar."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as a manifest holds it."""
        return {
            "loss": self.loss if self.loss in LOSSES else "model",
            "labels_at": self.labels_at,
            "optimizer": self.optimizer.to_json(),
            "norms": self.norms,
            "tied": self.tied,
            "frozen": list(self.frozen),
            "recompute": self.recompute,
        }
