"""Where a stage's entries stood in the model, kept within the stage, so that merging is exact.

The places are metadata of the stage's model under the key ``onnxsplit/layout``: for each list of
the model (``node``, ``initializer``, ...) the places of the entries that the stage holds, in order.
"""

import json
from collections.abc import Mapping, MutableSequence, Sequence
from itertools import chain, groupby
from typing import Any

import onnx

from onnxsplit.errors import BundleError

PREFIX = "onnxsplit/"
LAYOUT_KEY = f"{PREFIX}layout"
TIER_KEY = f"{PREFIX}tier"
SOURCE_KEY = f"{PREFIX}model"

GRAPH_LISTS = (
    "node",
    "initializer",
    "sparse_initializer",
    "input",
    "output",
    "value_info",
    "quantization_annotation",
)
FUNCTIONS = "functions"

Places = Mapping[str, Sequence[int]]


def write_layout(proto: onnx.ModelProto, places: Places) -> None:
    """Add the places to a stage's metadata, in place."""
    document = {name: write_ranges(places[name]) for name in (*GRAPH_LISTS, FUNCTIONS)}
    proto.metadata_props.add(key=LAYOUT_KEY, value=json.dumps(document))


def read_layout(proto: onnx.ModelProto) -> Places:
    """Read the places from a stage's metadata.

    Raises
    ------
    BundleError
        There are none, or they do not fit what the stage holds.
    """
    texts = [entry.value for entry in proto.metadata_props if entry.key == LAYOUT_KEY]
    try:
        document = json.loads(texts[0])
        spans = {name: read_ranges(document[name]) for name in (*GRAPH_LISTS, FUNCTIONS)}
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"A stage has no readable metadata {LAYOUT_KEY!r}, which says where its parts belong;"
            " it was not written by onnxsplit, or was changed since. Cut the model again."
        ) from error
    for name, ranges in spans.items():
        held = len(list_entries(proto, name))
        placed = sum(span.stop - span.start for span in ranges)
        # Crossings follow the model's own inputs and outputs, and have no place.
        if placed > held or (placed < held and name not in {"input", "output"}):
            raise BundleError(
                f"A stage holds {held} entries of {name!r} and its metadata place {placed};"
                " it was changed after it was cut. Cut the model again."
            )
    return {name: tuple(chain.from_iterable(ranges)) for name, ranges in spans.items()}


def list_entries(proto: onnx.ModelProto, name: str) -> MutableSequence[Any]:
    """Return one of the lists that places refer to."""
    entries: MutableSequence[Any] = getattr(proto if name == FUNCTIONS else proto.graph, name)
    return entries


def write_ranges(places: Sequence[int]) -> str:
    """Write ascending places as ranges.

    Examples
    --------
    >>> write_ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    runs = groupby(enumerate(places), key=lambda entry: entry[1] - entry[0])
    spans = [[place for _, place in run] for _, run in runs]
    return ",".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else f"{s[0]}" for s in spans)


def read_ranges(text: str) -> tuple[range, ...]:
    """Read what `write_ranges` wrote.

    Raises
    ------
    ValueError
        The text is no list of ranges.

    Examples
    --------
    >>> read_ranges("0-2,5")
    (range(0, 3), range(5, 6))
    """
    return tuple(_read_range(span) for span in text.split(",") if span)


def _read_range(span: str) -> range:
    """Read one range; digits alone, so that nothing in it is negative."""
    first, _, last = span.partition("-")
    places = range(int(first), int(last or first) + 1)
    if not places:
        message = f"the range {span!r} is empty"
        raise ValueError(message)
    return places
