"""The models that the onnx package ships, with inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Value
from onnxsplit.errors import OnnxSplitError

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data"
NARROW = {
    number
    for name, number in TensorProto.DataType.items()
    if name in {"INT2", "UINT2", "INT4", "UINT4", "FLOAT4E2M1", "FLOAT8E8M0"}
}
RECORDED = ("simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedModel:
    """A model with inputs that it runs on."""

    name: str
    proto: onnx.ModelProto
    feeds: dict[str, Value]


def read_recorded() -> Iterator[ShippedModel]:
    """Yield the models that come with recorded inputs."""
    for path in sorted(path for name in RECORDED for path in (FOLDER / name).glob("*/model.onnx")):
        proto = onnx.load(path)
        files = sorted((path.parent / "test_data_set_0").glob("input_*.pb"), key=_read_number)
        names = _list_fed(proto)
        feeds = {name: _read_value(proto, name, file) for name, file in zip(names, files)}  # noqa: B905 - initializers are recorded too
        yield ShippedModel(name=path.parent.name, proto=proto, feeds=feeds)


def read_networks() -> Iterator[ShippedModel]:
    """Yield well-known networks, whose weights are filled with one number by ConstantOfShape."""
    for path in sorted((FOLDER / "light").glob("*.onnx")):
        proto = onnx.load(path)
        # Up to IR version 3 the shapes of the weights are inputs as well.
        proto.ir_version = 8
        _leave_out_inputs(proto)
        rng = np.random.default_rng(1)
        feeds: dict[str, Value] = {
            value.name: rng.standard_normal(
                [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            ).astype(np.float32)
            for value in proto.graph.input
        }
        yield ShippedModel(name=path.stem, proto=proto, feeds=feeds)


def fill_weights(proto: onnx.ModelProto, *, seed: int) -> None:
    """Replace the weights of ConstantOfShape by random initializers, in place."""
    rng = np.random.default_rng(seed)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in [node for node in proto.graph.node if node.op_type == "ConstantOfShape"]:
        shape = numpy_helper.to_array(stored[node.input[0]])
        scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
        weights = np.abs(rng.standard_normal(shape) * scale) + 1e-3  # variances are positive
        proto.graph.initializer.append(
            numpy_helper.from_array(weights.astype(np.float32), node.output[0])
        )
        proto.graph.node.remove(node)
    read = {name for node in proto.graph.node for name in node.input}
    for tensor in [tensor for tensor in proto.graph.initializer if tensor.name not in read]:
        proto.graph.initializer.remove(tensor)


def make_node_cases() -> Iterator[ShippedModel]:
    """Yield onnx's generated cases of single operators, between copies where types allow."""
    for case in collect_testcases(None):
        if case.model is None or not case.data_sets:
            continue
        proto = onnx.ModelProto()
        proto.CopyFrom(case.model)
        inputs, _ = case.data_sets[0]
        feeds = dict(zip((value.name for value in proto.graph.input), map(_as_value, inputs)))  # noqa: B905 - optional inputs may be left out at the end
        wrapped = _wrap_in_copies(proto)
        yield ShippedModel(
            name=case.name, proto=wrapped if _is_loadable(wrapped) else proto, feeds=feeds
        )


def _is_loadable(proto: onnx.ModelProto) -> bool:
    """Tell whether onnxruntime loads a model; its Identity lacks some element types."""
    options = EngineOptions(threads=1, optimization="disabled")
    try:
        open_session(proto.SerializeToString(), options).close()
    except OnnxSplitError:
        return False
    return True


def _wrap_in_copies(plain: onnx.ModelProto) -> onnx.ModelProto:
    """Put an Identity behind every input and before every output."""
    proto = onnx.ModelProto()
    proto.CopyFrom(plain)
    opset = max((e.version for e in proto.opset_import if e.domain in {"", "ai.onnx"}), default=0)
    graph = proto.graph
    inner = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    before, after = [], []
    for value in graph.input:
        if _can_copy(value, opset):
            before.append(onnx.helper.make_node("Identity", [value.name], [f"{value.name}/in"]))
            _rename(inner, value.name, f"{value.name}/in")
    for value in graph.output:
        if _can_copy(value, opset):
            after.append(onnx.helper.make_node("Identity", [f"{value.name}/out"], [value.name]))
            for node in inner:
                node.output[:] = [
                    f"{value.name}/out" if name == value.name else name for name in node.output
                ]
            _rename(inner, value.name, f"{value.name}/out")
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    return proto


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    """Rename what top-level nodes read; bodies go on capturing the model's own inputs."""
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]


def _can_copy(value: onnx.ValueInfoProto, opset: int) -> bool:
    """Tell whether onnxruntime's Identity takes a value of this type."""
    kind = value.type.WhichOneof("value")
    if kind == "tensor_type":
        return value.type.tensor_type.elem_type not in NARROW
    return kind == "sequence_type" and opset >= 14


def _leave_out_inputs(proto: onnx.ModelProto) -> None:
    """Leave out the inputs that have initializers, in place."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    kept = [value for value in proto.graph.input if value.name not in stored]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)


def _list_fed(proto: onnx.ModelProto) -> list[str]:
    """List the inputs that must be fed."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    return [value.name for value in proto.graph.input if value.name not in stored]


def _read_value(proto: onnx.ModelProto, name: str, path: Path) -> Value:
    """Read a recorded value."""
    value = next(value for value in proto.graph.input if value.name == name)
    if value.type.WhichOneof("value") == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def _as_value(value: object) -> Value:
    """Turn a case's input into what a session takes."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list):
        return [np.asarray(entry) for entry in value]
    return None if value is None else np.asarray(value)


def _read_number(path: Path) -> int:
    """Return the number in ``input_12.pb``."""
    return int(path.stem.rpartition("_")[2])
