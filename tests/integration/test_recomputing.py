"""Operators that run on both sides: carved, verified, merged, and slips found."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxsplit as osp
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import InternalError, UsageError
from onnxsplit.model.audit import check_carving
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import load_model
from onnxsplit.model.merging import join_stages
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import find_symbolic_specs, resolve_tensors
from onnxsplit.parity.verification import RunnableModel, verify_stages
from onnxsplit.placement import Placement
from onnxsplit.planning.cuts.cheap_operators import may_double
from tests.contract.workshop import fit
from tests.property.test_carving_random_models import ModelDrawer
from tests.tiny_models import parse

ENGINE = EngineOptions(threads=1)

MASK = """
g (uint8[1,4,1] ids, float[1,4,64] x) => (float[1,4,1] y)
<int64[3] shape = {1, 4, 64}, int64[1] axis = {2}>
{
    f = Cast<to = 1>(ids)
    big = Expand(f, shape)
    a = Mul(x, big)
    s = ReduceMax<axes = [2], keepdims = 1>(a)
    c = Mul(s, big)
    y = ReduceSum<keepdims = 1>(c, axis)
}
"""


@pytest.fixture
def masked(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Return a model whose wide mask is cheap to make, and dear to send."""
    path = tmp_path / "model.onnx"
    onnx.save(parse(MASK), path)
    rows = []
    for node in load_model(path).proto.graph.node:
        device, server = (1e-6, 1e-6) if node.op_type in {"Cast", "Expand"} else (0.001, 0.0001)
        device = 0.05 if node.output[0] in {"c", "y"} else device
        rows.append(f'"{node.name}",{device},{server}')
    table = tmp_path / "costs.csv"
    table.write_text("\n".join(["operator,device_seconds,server_seconds", *rows]))
    link = osp.Link.parse("1 Mbit/s", rtt="1 ms")
    return path, {"costs": table, "link": link, "threads": 1}


def test_a_mask_is_made_on_both_sides_rather_than_sent(
    masked: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    model, options = masked
    plain = osp.plan(model, **options)
    made = osp.plan(model, **options, recompute=True)
    assert plain.recomputed == ()
    assert len(made.recomputed) == 2
    assert made.predicted.total_seconds < plain.predicted.total_seconds
    assert {crossing.tensor for crossing in made.crossings} == {"ids", "s"}
    assert any("rather than be sent" in note for note in made.notes)
    fit(made.to_json())
    bundle = osp.cut(model, tmp_path / "b", **options, recompute=True)
    document = json.loads((tmp_path / "b" / "split.json").read_text())
    fit(document)
    assert document["carving"]["recomputed"] == list(made.recomputed)
    assert document["plan"]["recomputed"] == list(made.recomputed)
    assert bundle.parity is not None
    assert bundle.parity.bit_equal
    assert osp.verify(tmp_path / "b", model=model).bit_equal
    merged = onnx.load(osp.merge(tmp_path / "b", tmp_path / "merged.onnx"))
    assert merged.graph == load_model(model).proto.graph
    held = Counter(
        node.name
        for name in ("device", "server")
        for node in onnx.load(tmp_path / "b" / f"{name}.onnx").graph.node
    )
    assert {name for name, count in held.items() if count == 2} == set(made.recomputed)


def test_what_recomputing_does_not_go_with_is_refused(
    masked: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    model, options = masked
    for clash in ({"boundary": "auto"}, {"cut_at": ["s"]}, {"measure": 2}):
        with pytest.raises(UsageError, match="--recompute"):
            osp.cut(model, tmp_path / "b", **options, recompute=True, **clash)
    with pytest.raises(UsageError, match="--recompute"):
        osp.plan(model, **options, recompute=True, cut_at=["s"])


def test_random_heavy_and_weighty_operators_never_run_twice() -> None:
    text = """
    g (float[64,64] x) => (float[64,64] y) {
        a = Relu(x) b = RandomUniformLike(a) c = Mul(a, w) d = MatMul(a, a) e = Add(b, c)
        f = Dropout(e) y = Add(f, d)
    }
    """
    model = parse(text)
    weights = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    model.graph.initializer.append(weights)
    loaded = load_model(model)
    graph = read_graph(loaded, resolve_tensors(loaded, {"x": np.ones((64, 64), "f4")}, ENGINE))
    may = {op.outputs[0] for op in graph if may_double(op, graph)}
    assert may == {"a", "e", "y"}


def _draw(seed: int) -> tuple[Any, Any, Placement, frozenset[str], dict[str, Any]]:
    """Draw a model, an ideal and copies of it."""
    rng = random.Random(seed)
    loaded = load_model(ModelDrawer(seed).draw())
    arrays = np.random.default_rng(seed)
    feeds: dict[str, Any] = {
        spec.name: arrays.normal(size=(2, 3)).astype(np.float32)
        for spec in loaded.proto.graph.input
    }
    feeds["flag"] = np.array(rng.random() < 0.5)
    met = resolve_tensors(loaded, feeds, ENGINE)
    graph = read_graph(loaded, met)
    place = rng.randint(0, len(graph))
    names = [operator.name for operator in graph]
    tier_of = {name: "device" if at < place else "server" for at, name in enumerate(names)}
    copies = frozenset(name for name in names[:place] if rng.random() < 0.4)
    feeds = {name: value for name, value in feeds.items() if name in graph.inputs}
    return (
        loaded,
        (graph, met),
        Placement(tiers=("device", "server"), tier_of=tier_of),
        copies,
        feeds,
    )


def test_any_copies_in_any_model_leave_the_stages_equal_to_the_whole_and_merge_into_it() -> None:
    copied = 0
    for seed in range(40):
        loaded, (graph, met), placement, copies, feeds = _draw(seed)
        boundary = find_symbolic_specs(loaded, met, list(graph.tensors), ENGINE)
        carving = carve_stages(loaded, graph, placement, boundary, copies=copies)
        plain = carve_stages(loaded, graph, placement, boundary)
        stages = [stage.proto for stage in carving.stages]
        if not all(stage.outputs for stage in carving.stages):
            continue  # All that the device makes is made again: no plan does that.
        merged = join_stages(stages, None)
        assert merged == join_stages([s.proto for s in plain.stages], None), f"seed {seed}"
        result = verify_stages(
            RunnableModel(content=loaded.proto.SerializeToString()),
            [RunnableModel(content=stage.SerializeToString()) for stage in stages],
            [feeds],
            options=ENGINE,
            source="given",
        )
        assert result.bit_equal, f"seed {seed}"
        copied += bool(copies)
    assert copied >= 12


def test_a_copy_that_is_not_told_of_changed_or_lost_is_found() -> None:
    found = 0
    for seed in range(30):
        loaded, (graph, met), placement, copies, _ = _draw(seed)
        if not copies:
            continue
        boundary = find_symbolic_specs(loaded, met, list(graph.tensors), ENGINE)
        honest = carve_stages(loaded, graph, placement, boundary, copies=copies)
        check_carving(loaded, graph, placement, honest)
        name = min(copies)
        hidden = replace(honest, report=replace(honest.report, recomputed=()))
        with pytest.raises(InternalError, match="twice"):
            check_carving(loaded, graph, placement, hidden)
        node = next(n for n in honest.stages[-1].proto.graph.node if n.name == name)
        node.doc_string += "changed"
        with pytest.raises(InternalError, match="changed"):
            check_carving(loaded, graph, placement, honest)
        honest.stages[-1].proto.graph.node.remove(node)
        with pytest.raises(InternalError):
            check_carving(loaded, graph, placement, honest)
        found += 1
    assert found >= 10
