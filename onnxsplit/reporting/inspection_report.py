"""Inspections as pages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_count, word_names, word_shape

TOP = 20
"""Cut points and blocks that the page lists; JSON holds all."""

_NAME = Column(title="name", is_name=True)


def describe_inspection(document: Mapping[str, Any], *, model: Path) -> Page:
    """Lay out a model: its size, its ends, where it can be cut, and what stands in the way.

    Parameters
    ----------
    document : mapping
        ``onnxsplit.inspection/1``.
    model : Path
    """
    return (
        Sentence(text=_word_model(document, model), tone="strong"),
        *_constants(document),
        _list_ends(document),
        *((_list_types(document), *_list_cuts(document)) if document["operators"] else ()),
        *_list_blocks(document),
        *_list_obstacles(document),
    )


def _word_model(document: Mapping[str, Any], model: Path) -> str:
    """Say how large the model is."""
    return (
        f"{model.name}: {word_count(len(document['operators']), 'operator')},"
        f" {word_bytes(document['weight_bytes'])} of weights,"
        f" {word_count(len(document['cut_points']), 'cut point')} that a single tensor crosses."
    )


def _constants(document: Mapping[str, Any]) -> tuple[Sentence, ...]:
    """Say what is copied to each stage that needs it, and what is dropped."""
    texts = []
    if document["constant_operators"]:
        count = word_count(len(document["constant_operators"]), "further operator")
        texts.append(f"{count} depend on constants alone: each stage that needs them copies them.")
    if document["dead_operators"]:
        names = word_names(document["dead_operators"])
        texts.append(f"No output depends on {names}: cutting drops them.")
    random = [entry["name"] for entry in document["operators"] if entry["random"]]
    if random:
        texts.append(f"Random numbers are drawn by {word_names(random)}.")
    return tuple(Sentence(text=text) for text in texts)


def _list_ends(document: Mapping[str, Any]) -> Table:
    """List inputs and outputs."""
    rows = [
        (
            entry["name"],
            way,
            entry["dtype"] or entry["kind"],
            word_shape(entry["shape"]),
            word_bytes(entry["bytes"]),
        )
        for way, key in (("in", "inputs"), ("out", "outputs"))
        for entry in document[key]
    ]
    columns = (
        _NAME,
        Column(title="way"),
        Column(title="dtype"),
        Column(title="shape"),
        Column(title="bytes", alignment="right"),
    )
    return Table(title="Inputs and outputs", columns=columns, rows=tuple(rows))


def _list_types(document: Mapping[str, Any]) -> Table:
    """Count operators by type."""
    rows = [(name, str(count)) for name, count in document["op_types"].items()]
    columns = (Column(title="operator type"), Column(title="count", alignment="right"))
    return Table(title="Operators", columns=columns, rows=tuple(rows))


def _list_cuts(document: Mapping[str, Any]) -> tuple[Block, ...]:
    """List the places where one tensor crosses, the smallest first."""
    points = document["cut_points"]
    if not points:
        text = "No single tensor separates the model; cuts cross several."
        return (Sentence(text=text),)
    total = len(document["operators"])
    smallest = sorted(points, key=lambda point: (point["bytes"], point["device_operators"]))[:TOP]
    rows = [
        (
            point["tensor"],
            word_bytes(point["bytes"]),
            str(point["device_operators"]),
            str(total - point["device_operators"]),
        )
        for point in smallest
    ]
    columns = (
        Column(title="tensor", is_name=True),
        Column(title="bytes", alignment="right"),
        Column(title="before", alignment="right"),
        Column(title="after", alignment="right"),
    )
    shown = f"the {TOP} smallest of {len(points)}" if len(points) > TOP else "smallest first"
    return (Table(title=f"Cut points, {shown}", columns=columns, rows=tuple(rows)),)


def _list_blocks(document: Mapping[str, Any]) -> tuple[Table, ...]:
    """List what lies between cut vertices, as far as it holds several operators."""
    blocks = [block for block in document["blocks"] if block["operators"] > 1]
    if not blocks:
        return ()
    largest = sorted(blocks, key=lambda block: -block["operators"])[:TOP]
    rows = [
        (
            block["first"],
            block["last"],
            str(block["operators"]),
            "yes" if block["contracts"] else "no",
            block["reason"],
        )
        for block in largest
    ]
    columns = (
        Column(title="first", is_name=True),
        Column(title="last", is_name=True),
        Column(title="operators", alignment="right"),
        Column(title="contracts"),
        Column(title="because", is_name=True),
    )
    return (Table(title="Blocks between cut vertices", columns=columns, rows=tuple(rows)),)


def _list_obstacles(document: Mapping[str, Any]) -> tuple[Bullets, ...]:
    """List what can't cross, and why."""
    reasons = tuple(entry["reason"] for entry in document["obstacles"])
    return (Bullets(title="What can't be cut", items=reasons),) if reasons else ()
