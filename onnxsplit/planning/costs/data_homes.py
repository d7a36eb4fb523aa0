"""Where the data that does not live on the first tier lives, for a given placement."""

from onnxsplit.placement import DataHomes, Placement, StateHome
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.question import Question, State


def locate_data(question: Question, placement: Placement) -> DataHomes:
    """Name the tier of every input, output and state that does not live on the first tier.

    Parameters
    ----------
    question : Question
    placement : Placement

    Returns
    -------
    DataHomes
        A state without a writer stays with its readers, one without either on the first tier.
    """
    places, last = question.places, placement.tiers[-1]
    graph = question.graph
    return DataHomes(
        inputs={name: last for name in graph.inputs if name in places.inputs_at_last},
        outputs={name: last for name in graph.outputs if name in places.outputs_at_last},
        states=tuple(
            StateHome(
                past=state.past,
                present=state.present,
                tier=_find_keeper(question, placement, state),
                size_bytes=_measure_state(question, state),
            )
            for state in places.states
        ),
    )


def list_resting(homes: DataHomes) -> frozenset[str]:
    """Return the model inputs that no stage hands on, because they start elsewhere."""
    return frozenset(homes.inputs) | {state.past for state in homes.states}


def find_givers(homes: DataHomes, placement: Placement) -> dict[str, str]:
    """Return the tier whose stage gives each model output that is wanted elsewhere.

    An output that is wanted on a tier without operators is given by whoever makes it; it is sent
    on as it is.
    """
    used = set(placement.tier_of.values())
    wanted = {name: tier for name, tier in homes.outputs.items() if tier in used}
    return wanted | {state.present: state.tier for state in homes.states if state.tier in used}


def _measure_state(question: Question, state: State) -> int | None:
    """Return the most bytes that a state has at any shape; None if it is not known."""
    specs = [graph.tensors.get(state.present) for graph in list_graphs(question)]
    sizes = [spec.size_bytes if spec else None for spec in specs]
    return None if None in sizes else max(size for size in sizes if size is not None)


def _find_keeper(question: Question, placement: Placement, state: State) -> str:
    """Return the tier of a state's operators; all are on one."""
    graph = question.graph
    writer = graph.producer(state.present)
    users = (*((writer,) if writer else ()), *graph.consumers(state.past))
    return placement.tier_of[users[0]] if users else placement.tiers[0]
