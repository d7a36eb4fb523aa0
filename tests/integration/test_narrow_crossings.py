"""Crossings that travel narrower: the stages run, merge into the model, and slips are found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import InternalError
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import load_model
from onnxsplit.model.merging import join_stages
from onnxsplit.model.narrowing import narrow_carving, read_wires
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import find_symbolic_specs, resolve_tensors
from onnxsplit.model.stages import Carving
from onnxsplit.model.wire_audit import check_narrowing
from onnxsplit.model.wires import WIRE_TYPES, WireCoding, calibrate
from onnxsplit.placement import Placement
from tests.tiny_models import parse

ENGINE = EngineOptions(threads=1)
X = np.random.default_rng(3).normal(0, 2, (4, 8)).astype(np.float32)

NET = """
g (float[n,8] x) => (float[n,8] y, float[n,8] a) {
    a = Relu(x) b = Sin(a) c = Mul(a, b) d = Sub(c, a) e = Tanh(d) y = Add(e, b)
}
"""
WIDE = """
g (double[4,8] x) => (double[4,8] y) { a = Relu(x) b = Neg(a) y = Exp(b) }
"""
CHAIN = ("device", "edge", "cloud")


def _carve(model: onnx.ModelProto, feeds: dict[str, Any], tiers: dict[str, str]) -> Carving:
    loaded = load_model(model)
    met = resolve_tensors(loaded, feeds, ENGINE)
    graph = read_graph(loaded, met)
    boundary = find_symbolic_specs(loaded, met, list(graph.tensors), ENGINE)
    tier_of = {op.name: tiers[op.outputs[0]] for op in graph}
    return carve_stages(loaded, graph, Placement(tiers=CHAIN, tier_of=tier_of), boundary)


def _run(carving: Carving, feeds: dict[str, Any]) -> dict[str, Any]:
    """Run the stages as any user of onnxruntime would, handing on what travels."""
    pool = dict(feeds)
    for stage in carving.stages:
        onnx.checker.check_model(stage.proto, full_check=True)
        session = ort.InferenceSession(
            stage.proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        needs = [entry.name for entry in session.get_inputs()]
        names = [entry.name for entry in session.get_outputs()]
        boxed = session.run_with_ort_values(
            names,
            {
                k: v if isinstance(v, ort.OrtValue) else ort.OrtValue.ortvalue_from_numpy(v)
                for k, v in pool.items()
                if k in needs
            },
        )
        pool.update(zip(names, boxed, strict=True))
    return pool


TIERS = {"a": "device", "b": "device", "c": "edge", "d": "edge", "e": "cloud", "y": "cloud"}


def _values(model: onnx.ModelProto, feeds: dict[str, Any], *names: str) -> dict[str, Any]:
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    present = {value.name for value in wide.graph.output}
    wide.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    session = ort.InferenceSession(wide.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), feeds), strict=True))


def _narrow(short: str, *tensors: str) -> tuple[Carving, Carving, list[WireCoding]]:
    model, feeds = parse(NET), {"x": X}
    plain = _carve(model, feeds, TIERS)
    values = _values(model, feeds, *tensors)
    wire = WIRE_TYPES[short]
    codings = [calibrate(name, "float32", wire, [values[name]]) for name in tensors]
    return plain, narrow_carving(plain, codings), codings


@pytest.mark.parametrize(
    ("short", "drift"), [("fp16", 2e-3), ("bf16", 2e-2), ("int8", 4e-2), ("uint8", 4e-2)]
)
def test_stages_run_and_drift_no_more_than_the_type_rounds(short: str, drift: float) -> None:
    plain, narrowed, codings = _narrow(short, "a", "b", "d")
    check_narrowing(plain, narrowed, codings)
    whole = _values(parse(NET), {"x": X}, "y", "a")
    found = _run(narrowed, {"x": X})
    gap = np.abs(found["y"].numpy() - whole["y"]).max() / np.abs(whole["y"]).max()
    assert 0 < gap < drift
    assert np.array_equal(found["a"].numpy(), whole["a"]), "an output of the device is exact"


@pytest.mark.parametrize("short", ["fp16", "bf16", "int8", "uint8"])
def test_crossings_have_a_name_and_type_of_their_own(short: str) -> None:
    plain, narrowed, _ = _narrow(short, "a", "b", "d")
    dtype = WIRE_TYPES[short].dtype
    device, edge, cloud = narrowed.stages
    assert [(s.name, s.dtype) for s in device.outputs] == [
        ("a", "float32"),
        (f"onnxsplit/b/{dtype}", dtype),
        (f"onnxsplit/a/{dtype}", dtype),
    ]
    assert [s.name for s in edge.inputs] == [f"onnxsplit/a/{dtype}", f"onnxsplit/b/{dtype}"]
    assert [s.name for s in cloud.inputs] == [f"onnxsplit/b/{dtype}", f"onnxsplit/d/{dtype}"]
    assert edge.inputs[0].shape == ("n", 8), "symbolic dims stay"
    assert [s.operators for s in narrowed.stages] == [s.operators for s in plain.stages]


@pytest.mark.parametrize("short", ["fp16", "bf16", "int8", "uint8"])
def test_merging_leaves_the_quantisers_out(short: str) -> None:
    plain, narrowed, _ = _narrow(short, "a", "b", "d")
    merged = join_stages([stage.proto for stage in narrowed.stages], None)
    assert merged == join_stages([stage.proto for stage in plain.stages], None)
    assert [n.op_type for n in merged.graph.node] == [n.op_type for n in parse(NET).graph.node]


@pytest.mark.parametrize("short", ["fp32", "fp16", "uint8", "int8"])
def test_float64_values_may_travel_narrower(short: str) -> None:
    model, feeds = parse(WIDE), {"x": np.random.default_rng(4).normal(0, 2, (4, 8))}
    plain = _carve(model, feeds, {"a": "device", "b": "edge", "y": "edge"})
    values = _values(model, feeds, "a", "y")
    coding = calibrate("a", "float64", WIRE_TYPES[short], [values["a"]])
    narrowed = narrow_carving(plain, [coding])
    check_narrowing(plain, narrowed, [coding])
    found = _run(narrowed, feeds)["y"].numpy()
    assert found.dtype == np.float64
    assert 0 < np.abs(found - values["y"]).max() < 2e-2


def test_names_that_are_taken_are_left_alone() -> None:
    """A stage that was cut already is cut again, at the very value that travelled."""
    _, narrowed, _ = _narrow("fp16", "a", "b", "d")
    stage = narrowed.stages[1].proto
    feeds = {"onnxsplit/a/float16": X.astype(np.float16), "onnxsplit/b/float16": X.astype("f2")}
    tiers = dict.fromkeys(("a", "b", "c", "onnxsplit/d/float16"), "device") | {"d": "device"}
    plain = _carve(stage, feeds, {**tiers, "d": "edge", "onnxsplit/d/float16": "edge"})
    coding = calibrate("c", "float32", WIRE_TYPES["fp16"], [])
    again = narrow_carving(plain, [coding])
    check_narrowing(plain, again, [coding])
    merged = join_stages([entry.proto for entry in again.stages], None)
    assert {n.name for n in stage.graph.node} >= {n.name for n in merged.graph.node if n.name}
    assert len(merged.graph.node) == len(stage.graph.node)
    _run(again, feeds)


def _scale(carving: Carving, way: str) -> None:
    node = _find(carving, way, "scale")
    value = numpy_helper.to_array(node.attribute[0].t)
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(value * np.float32(1.01)))


def _zero(carving: Carving, way: str) -> None:
    node = _find(carving, way, "zero_point")
    value = numpy_helper.to_array(node.attribute[0].t)
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(value + 1, value.dtype)))


def _operand(carving: Carving, way: str) -> None:
    _find(carving, way, way).input[1] = _find(carving, way, way).input[2]


def _bypass(carving: Carving, way: str) -> None:
    node = _find(carving, way, way)
    node.op_type, keep = "Identity", node.input[0]
    del node.input[:]
    node.input.append(keep)


def _saturate(carving: Carving, way: str) -> None:
    _find(carving, way, way).attribute.append(helper.make_attribute("axis", 0))


def _touch(carving: Carving, way: str) -> None:
    stage = carving.stages[0 if way == "encode" else 1].proto
    next(n for n in stage.graph.node if not n.name.startswith("onnxsplit/")).op_type = "Neg"


def _retype(carving: Carving, way: str) -> None:
    stage = carving.stages[0 if way == "encode" else 1].proto
    ports = stage.graph.output if way == "encode" else stage.graph.input
    port = next(value for value in ports if value.name.startswith("onnxsplit/b"))
    port.type.tensor_type.elem_type = onnx.TensorProto.INT16


def _drop(carving: Carving, way: str) -> None:
    stage = carving.stages[0 if way == "encode" else 1].proto
    entry = next(e for e in stage.metadata_props if e.key == "onnxsplit/wires")
    stage.metadata_props.remove(entry)


def _find(carving: Carving, way: str, what: str) -> onnx.NodeProto:
    stage = carving.stages[0 if way == "encode" else 1].proto
    return next(n for n in stage.graph.node if n.name == f"onnxsplit/b/{what}")


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize(
    "slip", [_scale, _zero, _operand, _bypass, _saturate, _touch, _retype, _drop]
)
def test_every_slip_of_the_builder_is_found(slip: Callable[[Carving, str], None], way: str) -> None:
    plain, narrowed, codings = _narrow("int8", "a", "b", "d")
    check_narrowing(plain, narrowed, codings)
    assert read_wires(narrowed.stages[0].proto)
    slip(narrowed, way)
    with pytest.raises(InternalError):
        check_narrowing(plain, narrowed, codings)


def test_a_coding_of_what_does_not_cross_is_refused() -> None:
    plain, _, _ = _narrow("fp16", "a")
    with pytest.raises(InternalError, match="does not cross"):
        narrow_carving(plain, [calibrate("e", "float32", WIRE_TYPES["fp16"], [])])


def test_calibration_covers_the_range_and_survives_what_is_not_finite() -> None:
    values = np.array([-1.0, 3.0, np.inf, np.nan], np.float32)
    unsigned = calibrate("t", "float32", WIRE_TYPES["uint8"], [values])
    assert unsigned.scale == pytest.approx(4 / 255)
    assert unsigned.zero_point == 64
    signed = calibrate("t", "float32", WIRE_TYPES["int8"], [values])
    assert signed.scale == pytest.approx(3 / 127)
    assert signed.zero_point == 0
    assert calibrate("t", "float32", WIRE_TYPES["int8"], [np.zeros(3, "f4")]).scale == 1.0
