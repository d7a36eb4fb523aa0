"""The table of gradient rules, and of operators that no gradient passes.

A rule sees one operator at a `Site` and returns, for each of its inputs in order, the name of the
gradient that it emitted, or None where there is none; inputs that are left off have none.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import onnx

from onnxsplit.autodiff.sites import Site
from onnxsplit.errors import InternalError
from onnxsplit.model.randomness import clean_domain

RuleKey: TypeAlias = tuple[str, str]
"""Domain and operator type."""
Rule: TypeAlias = Callable[[Site], Sequence[str | None]]

STOPPING: frozenset[str] = frozenset(
    {
        # Results that are no floating-point numbers, or that do not depend on the values read.
        *("And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr"),
        *("BitwiseXor", "Constant", "ConstantOfShape", "Equal", "EyeLike", "Greater"),
        *("GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "NonMaxSuppression"),
        *("NonZero", "Not", "Or", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        *("RandomUniformLike", "Shape", "Size", "Xor", "Bernoulli", "Multinomial"),
        # Steps: their derivative is zero wherever there is one.
        *("Ceil", "Floor", "Hardmax", "Round", "Sign"),
    }
)
"""Operators of the standard domain through which no gradient flows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEntry:
    """A rule and what it covers.

    Parameters
    ----------
    apply : callable
        The rule.
    inputs : collection of int, or None
        Places of the inputs that it differentiates; None for all of floating point.
    inert : collection of int
        Places of floating-point inputs that no gradient passes by definition.
    find_lack : callable
        Returns what of a node the rule does not cover, as a phrase, or None.
    """

    apply: Rule
    inputs: Collection[int] | None = None
    inert: Collection[int] = ()
    find_lack: Callable[[onnx.NodeProto], str | None] = lambda _: None

    def covers(self, place: int) -> bool:
        """Tell whether the rule gives the gradient of the input at a place."""
        return self.inputs is None or place in self.inputs


_RULES: dict[RuleKey, RuleEntry] = {}


def rule(
    *op_types: str,
    domain: str = "",
    inputs: Collection[int] | None = None,
    inert: Collection[int] = (),
    find_lack: Callable[[onnx.NodeProto], str | None] = lambda _: None,
) -> Callable[[Rule], Rule]:
    """Register a rule for operator types; used as a decorator.

    Parameters
    ----------
    *op_types : str
    domain : str
    inputs, inert : collection of int
    find_lack : callable
        See `RuleEntry`.

    Raises
    ------
    InternalError
        There is a rule for the type already.
    """

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            if (domain, op_type) in _RULES:
                raise InternalError(f"There are two gradient rules for {op_type}.")
            _RULES[domain, op_type] = RuleEntry(
                apply=function, inputs=inputs, inert=inert, find_lack=find_lack
            )
        return function

    return register


def list_registered() -> Mapping[RuleKey, RuleEntry]:
    """Return the rules that were registered so far; `rules.RULES` holds all."""
    return MappingProxyType(_RULES)


def stops_gradients(node: onnx.NodeProto) -> bool:
    """Tell whether no gradient flows through a node, by definition of its type."""
    return not clean_domain(node.domain) and node.op_type in STOPPING
