"""Loss heads: what is added to a model's predictions, as nodes that the rules differentiate."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.autodiff.halves.naming import LABEL, LOSS
from onnxsplit.autodiff.preparation import OLDEST_OPSET, find_opset, prepare_model
from onnxsplit.errors import UnsupportedModelError, UsageError
from onnxsplit.graph import FLOATING, Dim, TensorSpec
from onnxsplit.model.dtypes import read_type
from onnxsplit.model.loading import load_model

_PREFIX = "loss|"
_SEQUENCE_RANK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LossHead:
    """Nodes from predictions and a label to a scalar.

    Parameters
    ----------
    nodes : tuple of onnx.NodeProto
    constants : tuple of onnx.TensorProto
    label : TensorSpec
        Its name is ``label``.
    predictions : tuple of str
        Values of the model that it reads.
    class_axis : int or None
        Of the predictions, where the label names a class; accuracy can be told then.
    opsets : mapping of str to int
        What the nodes need, of a loss that was given as a model.
    """

    nodes: tuple[onnx.NodeProto, ...]
    label: TensorSpec
    predictions: tuple[str, ...]
    constants: tuple[onnx.TensorProto, ...] = ()
    class_axis: int | None = None
    opsets: dict[str, int] = field(default_factory=dict)


def build_loss(
    loss: str, outputs: tuple[TensorSpec, ...], *, opset: int = OLDEST_OPSET
) -> LossHead:
    """Build a loss head.

    Parameters
    ----------
    loss : str
        ``cross-entropy``, ``mse``, or the path of an ONNX model with an input ``label`` and others
        named as the model's outputs (or, if there is but one, as the user likes), and one output.
    outputs : tuple of TensorSpec
        The model's floating-point outputs, in order. The built-in losses read the first.
    opset : int
        Of the model; a loss of an older one is converted.

    Raises
    ------
    UsageError
        The loss does not fit the model.
    """
    if loss == "mse":
        return _mean_square(outputs[0])
    if loss == "cross-entropy":
        return _cross_entropy(outputs[0])
    return _read_loss(Path(loss), outputs, opset)


def _mean_square(prediction: TensorSpec) -> LossHead:
    """Mean of squared differences."""
    label = TensorSpec(name=LABEL, dtype=prediction.dtype, shape=prediction.shape)
    difference, square = f"{_PREFIX}difference", f"{_PREFIX}square"
    nodes = (
        _node("Sub", [prediction.name, LABEL], difference),
        _node("Mul", [difference, difference], square),
        _node("ReduceMean", [square], LOSS, keepdims=0),
    )
    return LossHead(nodes=nodes, label=label, predictions=(prediction.name,))


def _cross_entropy(logits: TensorSpec) -> LossHead:
    """Mean negative log-likelihood of the labelled class, over logits.

    Classes lie on axis 1; of rank-three logits, those of a sequence, on the last.
    """
    shape = logits.shape
    if shape is None or len(shape) < 2:  # noqa: PLR2004 - rows and classes
        raise UsageError(
            f"Cross-entropy takes logits with a row for each example, and {logits.name!r} has the"
            f" shape {list(shape or ())}; give --loss mse or a loss of your own."
        )
    if len(shape) != _SEQUENCE_RANK:
        axis, source = 1, logits.name
        nodes: list[onnx.NodeProto] = []
        constants: list[TensorProto] = []
        label: tuple[Dim, ...] = (shape[0], *shape[2:])
    else:
        axis, source, nodes, constants = _flatten(logits)
        label = shape[:2]
    target = LABEL if len(shape) != _SEQUENCE_RANK else f"{_PREFIX}label"
    nodes.append(_node("SoftmaxCrossEntropyLoss", [source, target], LOSS, reduction="mean"))
    return LossHead(
        nodes=tuple(nodes),
        constants=tuple(constants),
        label=TensorSpec(name=LABEL, dtype="int64", shape=label),
        predictions=(logits.name,),
        class_axis=axis,
    )


def _flatten(
    logits: TensorSpec,
) -> tuple[int, str, list[onnx.NodeProto], list[TensorProto]]:
    """Turn a sequence's logits into rows."""
    classes = (logits.shape or ())[-1]
    if not isinstance(classes, int):
        raise UsageError(f"The number of classes of {logits.name!r} is not known.")
    rows, sizes, ones = f"{_PREFIX}rows", f"{_PREFIX}sizes", f"{_PREFIX}all"
    constants = [
        numpy_helper.from_array(np.array([-1, classes], np.int64), sizes),
        numpy_helper.from_array(np.array([-1], np.int64), ones),
    ]
    nodes = [
        _node("Reshape", [logits.name, sizes], rows),
        _node("Reshape", [LABEL, ones], f"{_PREFIX}label"),
    ]
    return 2, rows, nodes, constants


def _read_loss(path: Path, outputs: tuple[TensorSpec, ...], opset: int) -> LossHead:
    """Take a loss that was given as a model."""
    proto = _convert(prepare_model(load_model(path)).proto, opset, path)
    graph = proto.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    wanted = {spec.name for spec in outputs}
    if LABEL not in {value.name for value in inputs} or len(graph.output) != 1:
        raise UsageError(
            f"The loss {path} must have an input 'label' and one output; it has"
            f" {', '.join(v.name for v in inputs)} and {len(graph.output)} outputs."
        )
    label = next(value for value in inputs if value.name == LABEL)
    if read_type(LABEL, label.type).shape is None:
        raise UsageError(
            f"The loss {path} does not tell how many dims its 'label' has; give the input a shape,"
            " with a name for each dim that varies."
        )
    total = read_type(LOSS, graph.output[0].type)
    if total.dtype not in FLOATING or (total.shape and set(total.shape) != {1}):
        raise UsageError(
            f"The loss {path} must give a single floating-point number; it gives {total.dtype} of"
            f" the shape {list(total.shape or ())}. Take a mean or a sum of it."
        )
    others = [value.name for value in inputs if value.name != LABEL]
    names = {name: name for name in others if name in wanted}
    if len(others) == 1 and not names:
        names = {others[0]: outputs[0].name}
    for name in others:
        if name not in names:
            raise UsageError(
                f"The loss {path} reads {name!r}, and the model has no such output; it has"
                f" {', '.join(sorted(wanted))}."
            )
    _check_shapes(path, inputs, names, outputs)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in graph.initializer):
        raise UnsupportedModelError(f"The loss {path} must hold its constants itself.")
    names |= {LABEL: LABEL, graph.output[0].name: LOSS}
    return _rename_loss(proto, names)


def _check_shapes(
    path: Path,
    inputs: list[onnx.ValueInfoProto],
    names: dict[str, str],
    outputs: tuple[TensorSpec, ...],
) -> None:
    """Refuse a loss that declares predictions of other shapes than the model gives."""
    given = {spec.name: spec for spec in outputs}
    for value in inputs:
        made = given.get(names.get(value.name, ""))
        taken = read_type(value.name, value.type)
        if made is None or made.shape is None or taken.shape is None:
            continue
        if len(made.shape) != len(taken.shape) or any(
            isinstance(one, int) and isinstance(other, int) and one != other
            for one, other in zip(made.shape, taken.shape, strict=True)
        ):
            raise UsageError(
                f"The loss {path} takes {value.name!r} of the shape {list(taken.shape)}, and the"
                f" model gives {made.name!r} of the shape {list(made.shape)}."
            )


def _convert(proto: onnx.ModelProto, opset: int, path: Path) -> onnx.ModelProto:
    """Raise a loss to the model's opset."""
    own = find_opset(proto)
    if own == opset:
        return proto
    try:
        return onnx.version_converter.convert_version(proto, opset)
    except (RuntimeError, ValueError) as error:
        raise UnsupportedModelError(
            f"The loss {path} has opset {own} and the model {opset}, and onnx can't convert it:"
            f" {error}. Export the loss with opset {opset}."
        ) from error


def _rename_loss(proto: onnx.ModelProto, names: dict[str, str]) -> LossHead:
    """Give a loss's values names that no model has."""
    graph = proto.graph

    def rename(value: str) -> str:
        return names.get(value, f"{_PREFIX}{value}") if value else ""

    nodes = []
    for place, node in enumerate(graph.node):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{_PREFIX}{place}"
        copy.input[:] = [rename(value) for value in node.input]
        copy.output[:] = [rename(value) for value in node.output]
        nodes.append(copy)
    constants = []
    for tensor in graph.initializer:
        kept = TensorProto()
        kept.CopyFrom(tensor)
        kept.name = rename(tensor.name)
        constants.append(kept)
    label = next(value for value in graph.input if value.name == LABEL)

    return LossHead(
        nodes=tuple(nodes),
        constants=tuple(constants),
        label=read_type(LABEL, label.type),
        predictions=tuple(name for name in names.values() if name not in {LABEL, LOSS}),
        opsets={entry.domain: entry.version for entry in proto.opset_import},
    )


def _node(
    op_type: str,
    inputs: list[str],
    output: str,
    **attributes: Any,  # noqa: ANN401 - as ONNX has them
) -> onnx.NodeProto:
    """Make a node that is named after what it makes."""
    name = output if output.startswith(_PREFIX) else f"{_PREFIX}{output}"
    return helper.make_node(op_type, inputs, [output], name=name, **attributes)
