"""Where data lives, in sentences: inputs, outputs and states that are not on the first tier."""

from collections.abc import Mapping

from onnxsplit.placement import DataHomes
from onnxsplit.reporting.page import Block, Bullets
from onnxsplit.reporting.wording import word_bytes, word_count, word_names


def data_blocks(homes: DataHomes) -> tuple[Block, ...]:
    """Say what lives elsewhere than on the first tier; nothing if all lives there."""
    items = [
        *_word_places(homes.inputs, "input", "lives"),
        *_word_places(homes.outputs, "output", "is wanted"),
        *_word_states(homes),
    ]
    return (Bullets(title="Where data lives", items=tuple(items)),) if items else ()


def _word_places(places: Mapping[str, str], kind: str, verb: str) -> list[str]:
    """Say which inputs or outputs have a tier of their own."""
    return [
        f"The {kind} {word_names((name,))} {verb} on the {tier}." for name, tier in places.items()
    ]


def _word_states(homes: DataHomes) -> list[str]:
    """Say what each tier keeps from one run to the next."""
    sentences = []
    for tier in dict.fromkeys(state.tier for state in homes.states):
        count = sum(state.tier == tier for state in homes.states)
        size = homes.sum_state_bytes(tier)
        kept = "" if size is None else f": {word_bytes(size)} after this run"
        sentences.append(f"The {tier} keeps {word_count(count, 'state')}{kept}.")
    return sentences
