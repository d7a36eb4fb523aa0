"""Sentences about constraints: what was assumed of power and memory, and what can't run where."""

from collections.abc import Iterator

from onnxsplit.objectives import Energy, Power, TrainingDelay
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.limits import Limits
from onnxsplit.planning.demands.rules import find_unsupported

_MOST_NAMED = 3


def list_limit_assumptions(question: Question, limits: Limits | None) -> Iterator[str]:
    """Yield what the figures of energy and memory rest on.

    Parameters
    ----------
    question : Question
    limits : Limits or None
    """
    for tier, power in question.known_powers.items():
        yield f"The power of the {tier} is taken as stated, not measured: {_word_power(power)}."
    if question.known_powers:
        others = [tier for tier in question.topology.tiers if tier not in question.known_powers]
        if others:
            yield f"What the {' and the '.join(others)} draws is not counted."
    objective = question.objective
    if isinstance(objective, Energy) and objective.joules_per_second:
        yield f"A second counts like {objective.joules_per_second:g} J."
    if limits is None or not limits.memory_bytes:
        return
    if isinstance(objective, TrainingDelay):
        yield (
            "Memory in training is a model: weights, for trained ones as much again for gradients"
            f" and {limits.optimizer_slots} times as much for the optimizer, and all values of a"
            " tier at once; an engine may need more."
        )
    else:
        yield (
            "Memory is weights plus the values held at a time, in the model's order; an engine may"
            " need more."
        )


def note_unsupported(question: Question, constraints: Constraints) -> tuple[str, ...]:
    """Say which operators the first tier's runtime can't run.

    Parameters
    ----------
    question : Question
    constraints : Constraints
    """
    graph, first = question.graph, question.topology.tiers[0]
    names = find_unsupported(graph, constraints)
    if not names:
        return ()
    listed = [f"{name!r} ({graph.operator(name).op_type})" for name in names[:_MOST_NAMED]]
    rest = len(names) - len(listed)
    more = f" and {rest} more" if rest else ""
    return (f"The {first}'s runtime can't run {', '.join(listed)}{more}.",)


def _word_power(power: Power) -> str:
    """Write what a tier draws."""
    figures = (
        ("computing", power.compute_watts),
        ("sending", power.transmit_watts),
        ("receiving", power.receive_watts),
        ("idle", power.idle_watts),
    )
    return ", ".join(f"{watts:g} W {doing}" for doing, watts in figures if watts) or "0 W"
