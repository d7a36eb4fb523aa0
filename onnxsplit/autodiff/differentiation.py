"""Write the backward pass: vector-Jacobian products, one operator at a time, last one first.

Reverse accumulation as in Griewank and Walther, Evaluating Derivatives (2008), chapter 3: O(1)
rules per operator, and a backward pass of a small multiple of the forward pass's cost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from onnxsplit.autodiff.emission import BackwardNode, Emitter
from onnxsplit.autodiff.gradients import Gradients
from onnxsplit.autodiff.paths import GradientPaths, find_gradient_paths
from onnxsplit.autodiff.preparation import OLDEST_OPSET, find_opset
from onnxsplit.autodiff.rules import find_rule
from onnxsplit.autodiff.sites import Site
from onnxsplit.errors import InternalError, UnknownShapeError, UnsupportedModelError
from onnxsplit.graph import TensorSpec
from onnxsplit.model.bodies import list_reads
from onnxsplit.model.dtypes import DTYPE_NUMBERS
from onnxsplit.model.index import ModelIndex, index_model
from onnxsplit.model.inference import infer_specs
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.randomness import clean_domain


def differentiate(
    model: LoadedModel,
    *,
    of: Mapping[str, str | None],
    with_respect_to: Sequence[str],
    tensors: Mapping[str, TensorSpec] | None = None,
) -> Gradients:
    """Write the nodes that compute a vector-Jacobian product.

    Parameters
    ----------
    model : LoadedModel
        A prepared one: see `preparation.prepare_model`.
    of : mapping of str to str or None
        Results, with the name under which the gradient of each is fed; None feeds ones, as is
        meant for a loss.
    with_respect_to : sequence of str
        Initializers, inputs, or values between operators.
    tensors : mapping of str to TensorSpec, optional
        Types and shapes; inferred if not given. With symbolic dims the backward pass serves every
        size; with numbers it may be valid for these sizes only.

    Returns
    -------
    Gradients

    Raises
    ------
    UnknownGradientError
        Operators on the way have no rule; all are named.
    ModelError
        A wanted value does not influence the results.
    UnknownShapeError
        A rank that a rule needs can't be inferred.
    UnsupportedModelError
        The model is not prepared.
    """
    if find_opset(model.proto) < OLDEST_OPSET or model.proto.functions:
        raise UnsupportedModelError("The model must be prepared before it can be differentiated.")
    index = index_model(model.proto)
    specs = describe_values(model, index, tensors)
    paths = find_gradient_paths(index, specs, of=of, with_respect_to=with_respect_to)
    paths.check()
    sweep = _Sweep(model.proto, index, specs, paths)
    sweep.seed(of)
    for place in reversed(paths.operators):
        sweep.visit(index.nodes[place])
    for name in with_respect_to:
        sweep.add_up(name)
    return sweep.finish(of, with_respect_to)


def describe_values(
    model: LoadedModel, index: ModelIndex, tensors: Mapping[str, TensorSpec] | None = None
) -> dict[str, TensorSpec]:
    """Return types and shapes of a model's values, initializers included.

    Parameters
    ----------
    model : LoadedModel
    index : ModelIndex
    tensors : mapping of str to TensorSpec, optional
        Known ones; inferred if not given.
    """
    known = dict(tensors) if tensors is not None else infer_specs(model)
    for name, tensor in index.initializers.items():
        dtype = next((n for n, number in DTYPE_NUMBERS.items() if number == tensor.data_type), None)
        known[name] = TensorSpec(name=name, dtype=dtype, shape=tuple(tensor.dims))
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contribution:
    """A part of a value's gradient, and the operators whose backward passes it contains."""

    gradient: str
    operators: tuple[str, ...]


class _Sweep:
    """The state of one backward pass over a graph."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        index: ModelIndex,
        specs: Mapping[str, TensorSpec],
        paths: GradientPaths,
    ) -> None:
        """Start with no gradients."""
        self._opsets = {clean_domain(e.domain): e.version for e in proto.opset_import}
        self._index = index
        self._specs = specs
        self._paths = paths
        self._emitter = Emitter({*index.producer, *index.initializers, *index.feeds})
        self._parts: dict[str, list[_Contribution]] = {}
        self._totals: dict[str, str] = {}
        self._forward: dict[str, onnx.NodeProto] = {}
        self._constants: dict[str, np.ndarray | None] = {}
        self._trained = frozenset(paths.values)

    def seed(self, of: Mapping[str, str | None]) -> None:
        """Let the gradients of the results come in."""
        for name, fed in of.items():
            gradient = fed if fed is not None else self._emit_ones(name)
            self._parts.setdefault(name, []).append(_Contribution(gradient=gradient, operators=()))

    def _emit_ones(self, name: str) -> str:
        """Emit ones of a result's type and shape."""
        spec = self._specs.get(name)
        if spec is None or spec.dtype is None or spec.shape is None:
            raise UnknownShapeError(f"The type or rank of the result {name!r} can't be inferred.")
        number = DTYPE_NUMBERS[spec.dtype]
        dims = [dim for dim in spec.shape if isinstance(dim, int)]
        if len(dims) == len(spec.shape):
            return self._emitter.store(np.ones(dims), number)
        owner = [self._index.nodes[self._index.producer[name]].name]
        (sizes,) = self._emitter.emit(owner, "Shape", [name])
        return self._emitter.emit(
            owner, "Expand", [self._emitter.store(np.ones(()), number), sizes]
        )[0]

    def visit(self, node: onnx.NodeProto) -> None:
        """Apply a node's rule and note what it gives to the node's inputs."""
        gradients = tuple(self.add_up(name) if name else None for name in node.output)
        if not any(gradients):
            return
        entry = find_rule(node)
        if entry is None:
            raise InternalError(f"{node.op_type} has no rule, and was not found to be missing.")
        wanted = tuple(
            name in self._trained and place not in entry.inert and entry.covers(place)
            for place, name in enumerate(node.input)
        )
        given = list(entry.apply(self._make_site(node, gradients, wanted)))
        # A rule may leave inputs off, and may tell of optional ones that are not given.
        given = [*given, *[None] * len(node.input)][: len(node.input)]
        for name, want, gradient in zip(node.input, wanted, given, strict=True):
            if want and gradient is None:
                raise InternalError(f"The rule of {node.op_type} gives no gradient for {name!r}.")
            if want and gradient is not None:
                part = _Contribution(gradient=gradient, operators=(node.name,))
                self._parts.setdefault(name, []).append(part)

    def _make_site(
        self, node: onnx.NodeProto, gradients: tuple[str | None, ...], wanted: tuple[bool, ...]
    ) -> Site:
        """Describe a node to its rule."""
        return Site(
            node=node,
            opset=self._opsets.get(clean_domain(node.domain), 1),
            gradients=gradients,
            wanted=wanted,
            specs=self._specs,
            read_constant=self._read_constant,
            stash=lambda place: self._stash(node, place),
            emitter=self._emitter,
        )

    def _read_constant(self, name: str) -> np.ndarray | None:
        """Return the array that a value always holds, unless it is trained."""
        if name not in self._constants:
            self._constants[name] = self._find_constant(name)
        return self._constants[name]

    def _find_constant(self, name: str) -> np.ndarray | None:
        """Look a constant up in the initializers and Constant nodes."""
        if name in self._trained:
            return None
        tensor = self._index.initializers.get(name)
        if tensor is not None and tensor.data_location != onnx.TensorProto.EXTERNAL:
            return onnx.numpy_helper.to_array(tensor)
        producer = self._index.producer.get(name)
        if producer is None or self._index.nodes[producer].op_type != "Constant":
            return None
        (attribute,) = self._index.nodes[producer].attribute
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return onnx.numpy_helper.to_array(value)
        kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32}
        kinds["value_floats"] = np.float32
        return np.asarray(value, kinds[attribute.name]) if attribute.name in kinds else None

    def _stash(self, node: onnx.NodeProto, place: int) -> str:
        """Make a forward operator yield an optional output."""
        kept = self._forward.setdefault(node.name, onnx.NodeProto())
        if not kept.op_type:
            kept.CopyFrom(node)
        kept.output.extend([""] * (place + 1 - len(kept.output)))
        if not kept.output[place]:
            kept.output[place] = f"fwd|{node.name}|{place}"
        return kept.output[place]

    def add_up(self, name: str) -> str | None:
        """Return the whole gradient of a value whose consumers were all visited."""
        parts = self._parts.get(name)
        if name in self._totals or not parts:
            return self._totals.get(name)
        total = parts[0]
        for part in parts[1:]:
            operators = tuple(dict.fromkeys([*total.operators, *part.operators]))
            made = self._emitter.emit(operators, "Add", [total.gradient, part.gradient])
            total = _Contribution(gradient=made[0], operators=operators)
        self._totals[name] = total.gradient
        return total.gradient

    def finish(self, of: Mapping[str, str | None], wanted: Iterable[str]) -> Gradients:
        """Drop what the wanted gradients do not need and put the result together."""
        backward = _prune(self._emitter.nodes, [self._totals[name] for name in wanted])
        made = {name for node in backward for name in node.proto.output}
        seeds = tuple(dict.fromkeys(fed for fed in of.values() if fed is not None))
        reads = dict.fromkeys(
            name
            for node in backward
            for name in list_reads(node.proto)
            if name not in made and name not in seeds
        )
        constants = self._emitter.constants
        ends = {self._totals[name] for name in wanted}
        known = {*made, *seeds, *(ends & constants.keys())}
        kept = [name for name in constants if name in reads or name in ends]
        return Gradients(
            forward=tuple(self._name_forward()),
            backward=tuple(backward),
            constants=tuple(constants[name] for name in kept),
            gradients={name: total for name, total in self._totals.items() if total in known},
            seeds=seeds,
            saved=tuple(name for name in reads if name not in constants),
        )

    def _name_forward(self) -> Iterable[onnx.NodeProto]:
        """Yield the forward nodes under the names that profiles know them by."""
        for place in self._index.order:
            node = self._index.nodes[place]
            named = onnx.NodeProto()
            named.CopyFrom(self._forward.get(node.name, node))
            named.name = f"fwd|{node.name}"
            yield named


def _prune(nodes: Sequence[BackwardNode], wanted: Iterable[str]) -> list[BackwardNode]:
    """Keep the nodes that the wanted values depend on, in order."""
    needed = set(wanted)
    kept: list[BackwardNode] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.proto.output):
            kept.append(node)
            needed.update(list_reads(node.proto))
    return kept[::-1]
