"""Run a forward and backward pass whole and cut in three, on onnxruntime, to compare the bits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from onnxsplit.autodiff.differentiation import differentiate
from onnxsplit.autodiff.gradients import Gradients
from onnxsplit.autodiff.preparation import prepare_model
from onnxsplit.engines.native import build_settings, keep_roundings
from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.loading import load_model
from tests.gradients.checking import run_onnxruntime
from tests.gradients.networks import list_parameters

Array = NDArray[Any]
Nodes = Sequence[onnx.NodeProto]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pass over a network, forward and backward.

    Parameters
    ----------
    model : onnx.ModelProto
        Prepared.
    gradients : Gradients
    parameters : tuple of str
    feeds : mapping of str to array
        Inputs, parameters and the gradient of the result, ``seed``.
    result : str
    """

    model: onnx.ModelProto
    gradients: Gradients
    parameters: tuple[str, ...]
    feeds: Mapping[str, Array]
    result: str

    @property
    def wanted(self) -> set[str]:
        """Names of what both ways of running it must agree on."""
        return {self.result, *(self.gradients.gradients[name] for name in self.parameters)}

    def run_whole(self) -> dict[str, Array]:
        """Run everything in one session."""
        backward = [node.proto for node in self.gradients.backward]
        return self._run([*self.gradients.forward, *backward], self.wanted, self.feeds)

    def run_cut(self, server: Collection[str]) -> dict[str, Array]:
        """Run the device's forward pass, both passes of the server, the device's backward pass.

        Parameters
        ----------
        server : collection of str
            Operators, closed under consumers.
        """
        ahead = [node for node in self.gradients.forward if _names(node) not in server]
        served = [node for node in self.gradients.forward if _names(node) in server]
        back: list[onnx.NodeProto] = []
        for node in self.gradients.backward:
            (served if set(node.operators) <= set(server) else back).append(node.proto)
        known = dict(self.feeds)
        known.update(self._run(ahead, self.wanted | _read(served) | _read(back), known))
        known.update(self._run(served, self.wanted | _read(back), known))
        known.update(self._run(back, self.wanted, known))
        return {name: known[name] for name in self.wanted}

    def _run(
        self, nodes: Nodes, wanted: Collection[str], known: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Run some nodes as a model of their own, fed with what was computed before."""
        stored = {tensor.name: tensor for tensor in self.model.graph.initializer}
        stored.update((tensor.name, tensor) for tensor in self.gradients.constants)
        made = [name for node in nodes for name in node.output if name]
        reads = [name for name in sorted(_read(nodes) - set(made)) if name]
        fed = {name: known[name] for name in reads if name in known}
        graph = onnx.GraphProto(name="part")
        graph.node.extend(nodes)
        graph.initializer.extend(stored[name] for name in reads if name not in known)
        graph.input.extend(
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in fed.items()
        )
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name in wanted)
        if not graph.output:
            return {}
        opsets = self.model.opset_import
        part = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return _run_exactly(part, fed)


def _run_exactly(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a model as training does: with all optimisation but what rounds otherwise."""
    settings = build_settings(EngineOptions(threads=1), None)
    keep_roundings(settings)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def make_step(model: onnx.ModelProto, feeds: Mapping[str, Array], result: str) -> Step:
    """Differentiate a network with respect to its parameters, which are fed.

    Parameters
    ----------
    model : onnx.ModelProto
        In float32.
    feeds : mapping of str to array
    result : str
        The output whose gradient is fed.
    """
    loaded = prepare_model(load_model(model))
    parameters = list_parameters(loaded.proto, [result])
    gradients = differentiate(loaded, of={result: "seed"}, with_respect_to=parameters)
    arrays = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in loaded.proto.graph.initializer
        if tensor.name in parameters
    }
    shape = run_onnxruntime(model, feeds)[result].shape
    seed = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    return Step(
        model=loaded.proto,
        gradients=gradients,
        parameters=tuple(parameters),
        feeds={**feeds, **arrays, "seed": seed},
        result=result,
    )


def _names(node: onnx.NodeProto) -> str:
    """Return the operator that a forward node is."""
    return str(node.name.removeprefix("fwd|"))


def _read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return all values that nodes read."""
    return {str(name) for node in nodes for name in node.input}
