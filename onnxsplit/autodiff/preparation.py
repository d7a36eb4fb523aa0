"""Bring a model to the form that the gradient rules know.

Model-local functions are written out, the standard operators are raised to opset 18 or stay at a
newer one, and operators that have no rule but are defined by ONNX as functions of simpler ones are
written out too. Opset 18 is the oldest in which all that rules emit is valid, and all newer ones
keep it valid. Plan the prepared model: its operators are those that train.
"""

from collections.abc import Callable
from dataclasses import replace

import onnx
import onnx.defs
import onnx.inliner
import onnx.version_converter

from onnxsplit.autodiff.paths import list_differentiable
from onnxsplit.autodiff.rules import find_rule
from onnxsplit.errors import UnsupportedModelError
from onnxsplit.model.inference import copy_without_weights, infer_specs
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.model.randomness import clean_domain

OLDEST_OPSET = 18
"""Of the standard domain, in prepared models."""

_KEPT = frozenset({"Range", "SequenceMap"})
"""Functions that ONNX writes out as a loop, through which there is no gradient either."""


def prepare_model(model: LoadedModel) -> LoadedModel:
    """Prepare a model for differentiation; it computes what it did before.

    Parameters
    ----------
    model : LoadedModel

    Returns
    -------
    LoadedModel
        The same model where nothing is to be done. Operators that are kept keep their names.

    Raises
    ------
    UnsupportedModelError
        onnx can't convert the model's opset, or write out its functions.
    """
    proto = model.proto
    if proto.functions:
        proto = _attempt("write out its functions", onnx.inliner.inline_local_functions, proto)
    if find_opset(proto) < OLDEST_OPSET:
        proto = _attempt(f"raise its opset to {OLDEST_OPSET}", _raise_opset, proto)
    for op_type in _find_composed(replace(model, proto=proto)):
        proto = _write_out(proto, op_type)
    if proto is model.proto:
        return model
    prepared = load_model(proto, base_folder=model.base_folder)
    return replace(prepared, renamed={**model.renamed, **prepared.renamed})


def find_opset(proto: onnx.ModelProto, domain: str = "") -> int:
    """Return the version of a domain that a model imports; 1 if it doesn't say."""
    versions = {clean_domain(entry.domain): entry.version for entry in proto.opset_import}
    return versions.get(domain, 1)


def _raise_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Convert to the oldest opset that rules know."""
    return onnx.version_converter.convert_version(proto, OLDEST_OPSET)


def _find_composed(model: LoadedModel) -> list[str]:
    """Return the operator types to write out: without a rule, and functions to ONNX."""
    opset, specs = find_opset(model.proto), infer_specs(model)
    without = {
        node.op_type
        for node in model.proto.graph.node
        if not clean_domain(node.domain)
        and node.op_type not in _KEPT
        and not find_rule(node)
        and list_differentiable(node, specs)
    }
    return sorted(name for name in without if _is_composed(name, opset))


def _is_composed(op_type: str, opset: int) -> bool:
    """Tell whether ONNX defines an operator type as a function."""
    if not onnx.defs.has(op_type, opset, ""):
        return False
    schema = onnx.defs.get_schema(op_type, opset, "")
    # onnx's stubs leave both attributes out.
    names = "has_function", "has_context_dependent_function"
    return any(getattr(schema, name) for name in names)


def _write_out(proto: onnx.ModelProto, op_type: str) -> onnx.ModelProto:
    """Write an operator type out, if onnx can; else the operators stay, without a gradient."""

    def convert(given: onnx.ModelProto) -> onnx.ModelProto:
        # The inliner looks for the types of initializers among those of other values.
        given.graph.value_info.extend(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            for tensor in given.graph.initializer
        )
        return onnx.inliner.inline_selected_functions(
            given, [("", op_type)], inline_schema_functions=True
        )

    try:
        return _attempt(f"write out {op_type}", convert, proto)
    except UnsupportedModelError:
        return proto


def _attempt(
    what: str, convert: Callable[[onnx.ModelProto], onnx.ModelProto], proto: onnx.ModelProto
) -> onnx.ModelProto:
    """Run one of onnx's converters, on a copy without weights, and say what failed."""
    skeleton = copy_without_weights(proto)
    try:
        return _restore(convert(skeleton), skeleton, proto)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise UnsupportedModelError(
            f"To train the model, onnx must {what}, and can't: {error}. Export the model anew with"
            f" opset {OLDEST_OPSET} or newer."
        ) from error


def _restore(
    converted: onnx.ModelProto, skeleton: onnx.ModelProto, proto: onnx.ModelProto
) -> onnx.ModelProto:
    """Put back, in place, what onnx's converters would copy or lose: weights and metadata."""
    kept = {tensor.name for tensor in skeleton.graph.initializer}
    hidden = [tensor for tensor in proto.graph.initializer if tensor.name not in kept]
    graph = converted.graph
    added = {tensor.name for tensor in hidden} - {value.name for value in proto.graph.input}
    inputs = [value for value in graph.input if value.name not in added]
    del graph.input[:]
    graph.input.extend(inputs)
    graph.initializer.extend(hidden)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    del converted.metadata_props[:]
    converted.metadata_props.extend(proto.metadata_props)
    converted.producer_name = proto.producer_name
    converted.ir_version = max(proto.ir_version, converted.ir_version)
    return converted
