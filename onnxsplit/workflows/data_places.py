"""What the caller says of where data lives: at an end of the chain, or in a state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.errors import UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.question import DataPlaces, State
from onnxsplit.tiers import DEVICE, SERVER

AUTO = "auto"
NONE = "none"
USUAL_STATES = (
    "past_key_values.*=present.*",
    "past_key_values.*=present_key_values.*",
    "past_*=present_*",
    "past.*=present.*",
)
"""Names that the usual exporters give a decoder's cache."""

_MOST_NAMED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Where data lives, as the caller says it.

    Parameters
    ----------
    input_at, output_at : sequence of (str, str)
        Model input or output, and the tier at an end of the chain: its name, ``device`` for the
        first or ``server`` for the last.
    state : sequence of str
        ``PAST=PRESENT``, each a name or with one ``*``; ``auto`` looks for the usual names,
        ``none`` does not.
    """

    input_at: Sequence[tuple[str, str]] = ()
    output_at: Sequence[tuple[str, str]] = ()
    state: Sequence[str] = (AUTO,)


def read_places(options: DataOptions, graph: OperatorGraph, tiers: Sequence[str]) -> DataPlaces:
    """Read where data lives.

    Parameters
    ----------
    options : DataOptions
    graph : OperatorGraph
    tiers : sequence of str
        The chain, from the device on.

    Raises
    ------
    UsageError
        There is no such input, output or tier, a tier is between the ends, something is said
        twice, or a pattern can't be read.
    """
    states, assumptions = _read_states(options.state, graph)
    places = DataPlaces(
        inputs_at_last=_read_ends(options.input_at, graph.inputs, tiers, "input"),
        outputs_at_last=_read_ends(options.output_at, graph.outputs, tiers, "output"),
        states=states,
        assumptions=assumptions,
    )
    moved = places.inputs_at_last | places.outputs_at_last
    for name in sorted(moved & (places.pasts | places.presents)):
        raise UsageError(
            f"{name!r} is part of a state, which stays where its operators run; drop its place, or"
            " give --state none."
        )
    return places


def _read_ends(
    pairs: Sequence[tuple[str, str]], known: Sequence[str], tiers: Sequence[str], kind: str
) -> frozenset[str]:
    """Return the names that belong to the last tier."""
    homes: dict[str, bool] = {}
    for name, tier in pairs:
        flag = f"--{kind}-at {name}={tier}"
        if name not in known:
            raise UsageError(f"{flag}: the model has no {kind} {name!r}. {suggest(name, known)}")
        if name in homes:
            raise UsageError(f"--{kind}-at names {name!r} twice; give each {kind} once.")
        homes[name] = _is_last(tier, tiers, flag)
    return frozenset(name for name, is_last in homes.items() if is_last)


def _is_last(tier: str, tiers: Sequence[str], flag: str) -> bool:
    """Tell which end of the chain a name means."""
    if tier in {tiers[0], tiers[-1]}:
        return tier == tiers[-1]
    if tier in tiers:
        raise UsageError(
            f"{flag}: {tier!r} is between the ends; data lives on {tiers[0]} or {tiers[-1]}."
        )
    if tier in {DEVICE, SERVER}:
        return tier == SERVER
    raise UsageError(f"{flag}: there is no tier {tier!r}; name {tiers[0]} or {tiers[-1]}.")


def _read_states(
    patterns: Sequence[str], graph: OperatorGraph
) -> tuple[tuple[State, ...], tuple[str, ...]]:
    """Return the states, and what was assumed of them."""
    if NONE in patterns:
        if len(patterns) > 1:
            raise UsageError("--state none stands alone; drop it, or the other --state.")
        return (), ()
    given = [pattern for pattern in patterns if pattern != AUTO]
    found: dict[str, State] = {}
    for pattern in given:
        matched = match_states(pattern, graph)
        if not matched:
            past = pattern.partition("=")[0]
            raise UsageError(
                f"--state {pattern}: no input is named like {past!r}. {suggest(past, graph.inputs)}"
            )
        for past, present in matched.items():
            _check_state(graph, past, present, pattern)
            found.setdefault(past, State(past=past, present=present))
    _check_once(found.values())
    if AUTO not in patterns:
        return tuple(found.values()), ()
    guessed = _guess_states(graph, taken=found)
    return (*found.values(), *guessed), _note_guess(guessed)


def match_states(pattern: str, graph: OperatorGraph) -> dict[str, str]:
    """Pair inputs with outputs by a pattern.

    Parameters
    ----------
    pattern : str
        ``PAST=PRESENT``, each a name, or both with one ``*`` that stands for the same text.
    graph : OperatorGraph

    Returns
    -------
    dict of str to str
        Input to output; the output need not exist.

    Raises
    ------
    UsageError
        The pattern has another form.
    """
    past, equals, present = pattern.partition("=")
    if not (equals and past and present) or past.count("*") != present.count("*"):
        raise _refuse_pattern(pattern)
    if past.count("*") > 1:
        raise _refuse_pattern(pattern)
    if "*" not in past:
        return {past: present} if past in graph.inputs else {}
    head, _, tail = past.partition("*")
    return {
        name: present.replace("*", name[len(head) : len(name) - len(tail)])
        for name in graph.inputs
        if name.startswith(head) and name.endswith(tail) and len(name) > len(head) + len(tail)
    }


def _refuse_pattern(pattern: str) -> UsageError:
    """Say how a pattern is written."""
    return UsageError(
        f"--state {pattern!r} must be PAST=PRESENT, two names or two patterns with one * each, as"
        " in 'past_*=present_*'; or auto, or none."
    )


def _check_state(graph: OperatorGraph, past: str, present: str, pattern: str) -> None:
    """Refuse a pair that can't be a state."""
    if present not in graph.outputs:
        raise UsageError(
            f"--state {pattern}: the input {past!r} needs an output {present!r}, and the model has"
            f" none. {suggest(present, graph.outputs)}"
        )
    if not _fits(graph, past, present):
        raise UsageError(
            f"--state {pattern}: {present!r} can't become {past!r}, because their types or ranks"
            " differ."
        )


def _check_once(states: Iterable[State]) -> None:
    """Refuse one output for two inputs."""
    seen: dict[str, str] = {}
    for state in states:
        if state.present in seen:
            raise UsageError(
                f"--state: {state.present!r} can't become both {seen[state.present]!r} and"
                f" {state.past!r}; give each output once."
            )
        seen[state.present] = state.past


def _fits(graph: OperatorGraph, past: str, present: str) -> bool:
    """Tell whether an output has an input's type and rank, as far as they are known."""
    one, other = graph.tensors.get(past), graph.tensors.get(present)
    if one is None or other is None:
        return False
    same_type = one.dtype is None or other.dtype is None or one.dtype == other.dtype
    ranks = {len(spec.shape) for spec in (one, other) if spec.shape is not None}
    return same_type and len(ranks) < 2 and one.kind == other.kind  # noqa: PLR2004 - two ranks differ


def _guess_states(graph: OperatorGraph, taken: Mapping[str, State]) -> tuple[State, ...]:
    """Find pairs by the usual names whose types fit."""
    guessed: dict[str, State] = {}
    presents = {state.present for state in taken.values()}
    for pattern in USUAL_STATES:
        for past, present in match_states(pattern, graph).items():
            is_free = past not in taken and past not in guessed and present not in presents
            if is_free and present in graph.outputs and _fits(graph, past, present):
                guessed[past] = State(past=past, present=present)
                presents.add(present)
    return tuple(guessed[name] for name in graph.inputs if name in guessed)


def _note_guess(states: Sequence[State]) -> tuple[str, ...]:
    """Say what was guessed, and how to undo it."""
    if not states:
        return ()
    named = ", ".join(f"{state.past} = {state.present}" for state in states[:_MOST_NAMED])
    rest = f" and {len(states) - _MOST_NAMED} more" if len(states) > _MOST_NAMED else ""
    sentence = (
        f"By their names, these outputs are taken to be the next run's inputs: {named}{rest}. They"
        " are a state that stays on the tier of its operators; --state none takes them as data that"
        " travels."
    )
    return (sentence,)
