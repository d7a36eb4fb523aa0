"""Random models, cut anywhere, crossings coded at random: held against coding done in numpy."""

import random
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import load_model
from onnxsplit.model.merging import join_stages
from onnxsplit.model.narrowing import narrow_carving
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import find_symbolic_specs, resolve_tensors
from onnxsplit.model.stages import Stage
from onnxsplit.model.wire_audit import check_narrowing
from onnxsplit.model.wires import WIRE_TYPES, WireCoding, calibrate, can_travel_as
from onnxsplit.placement import Placement
from tests.property.test_carving_random_models import ModelDrawer

ENGINE = EngineOptions(threads=1)
CASES = 60
Values = dict[str, Any]


def _run(stage: onnx.ModelProto, pool: Values) -> Values:
    """Run a stage as it stands in the file."""
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        stage.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    feeds = {entry.name: pool[entry.name] for entry in session.get_inputs()}
    boxed = {
        name: value if isinstance(value, ort.OrtValue) else ort.OrtValue.ortvalue_from_numpy(value)
        for name, value in feeds.items()
    }
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run_with_ort_values(names, boxed), strict=True))


def _round_trip(coding: WireCoding, values: Any) -> Any:  # noqa: ANN401 - arrays
    """Encode and decode by the definition of the formats, in numpy."""
    if coding.scale is None:
        narrow = ml_dtypes.bfloat16 if coding.wire.short == "bf16" else coding.wire.dtype
        return values.astype(narrow).astype(values.dtype)
    limits = np.iinfo(coding.wire.dtype)
    scale, zero = np.float32(coding.scale), coding.zero_point
    whole = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
    return ((whole - np.float32(zero or 0)) * scale).astype(values.dtype)


def _list_given(stage: Stage) -> list[str]:
    return [spec.name for spec in stage.outputs if spec.dtype == "float32"]


@pytest.mark.parametrize("short", ["fp16", "bf16", "int8", "uint8"])
def test_coding_in_the_stages_is_coding_between_them(short: str) -> None:
    coded = changed = 0
    for seed in range(CASES):
        rng = random.Random(seed)
        loaded = load_model(ModelDrawer(seed).draw())
        arrays = np.random.default_rng(seed)
        feeds: Values = {
            name: arrays.normal(size=(2, 3)).astype(np.float32) for name in ("x0", "x1")
        }
        feeds["flag"] = np.array(rng.random() < 0.5)
        met = resolve_tensors(loaded, feeds, ENGINE)
        graph = read_graph(loaded, met)
        place = rng.randint(1, len(graph))
        names = [operator.name for operator in graph]
        tier_of = {name: "device" if at < place else "server" for at, name in enumerate(names)}
        boundary = find_symbolic_specs(loaded, met, list(graph.tensors), ENGINE)
        placement = Placement(tiers=("device", "server"), tier_of=tier_of)
        plain = carve_stages(loaded, graph, placement, boundary)
        if len(plain.stages) == 1 or not plain.stages[0].outputs:
            continue
        device, server = plain.stages
        wire = WIRE_TYPES[short]
        taken = {spec.name for spec in server.inputs}
        crossing = [n for n in _list_given(device) if n in taken and can_travel_as(met[n], wire)]
        chosen = [name for name in crossing if rng.random() < 0.8]
        if not chosen:
            continue
        made = {name: value.numpy() for name, value in _run(device.proto, feeds).items()}
        codings = [calibrate(name, "float32", wire, [made[name]]) for name in chosen]
        narrowed = narrow_carving(plain, codings)
        check_narrowing(plain, narrowed, codings)
        sent = {**made, **{c.tensor: _round_trip(c, made[c.tensor]) for c in codings}}
        wanted = _run(server.proto, {**feeds, **sent})
        found = _run(narrowed.stages[1].proto, {**feeds, **_run(narrowed.stages[0].proto, feeds)})
        for name, value in wanted.items():
            theirs, ours = value.numpy(), found[name].numpy()
            assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-6, equal_nan=True), f"seed {seed}"
        stages = [stage.proto for stage in narrowed.stages]
        assert join_stages(stages, None) == join_stages([device.proto, server.proto], None)
        coded += 1
        changed += any(not np.array_equal(sent[name], made[name]) for name in chosen)
    assert coded >= CASES / 4
    assert changed >= CASES / 8
