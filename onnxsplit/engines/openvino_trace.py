"""What OpenVINO runs in the place of a model, and what each of its kernels takes.

Its runtime graph lists for each kernel the names of the nodes that it stands for
(``originalLayersNames``, OpenVINO, "Runtime information of the execution graph"), and its profiling
information what each kernel took. Nodes of the model get short names first, for a list of names is
joined by commas, which names may hold.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper

from onnxsplit.engines.port import KernelEvent

if TYPE_CHECKING:
    import openvino

_CONSTANT = "Const"
_SOURCES = frozenset({"Input", _CONSTANT, "Output"})
"""Layers of the runtime graph that run nothing."""

_PREFIX = "onnxsplit-node-"


@dataclass(slots=True, kw_only=True)
class Tracing:
    """The runtime graph of a traced session, and the times of its runs.

    Parameters
    ----------
    nodes : mapping of str to onnx.NodeProto
        Short name to the model's own node.
    executed : onnx.GraphProto
        Filled by `read_graph`.
    kernels : list of (str, KernelEvent)
        OpenVINO's name of each kernel and what it is, without its time.
    seconds : list of mapping
        Times by OpenVINO's names, run by run.
    """

    nodes: Mapping[str, onnx.NodeProto]
    executed: onnx.GraphProto = field(default_factory=onnx.GraphProto)
    kernels: list[tuple[str, KernelEvent]] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def read_graph(self, graph: "openvino.Model", device: str) -> None:
        """Write down the runtime graph, with the model's own names of the values that survived."""
        names = {name: name for name in self.nodes}
        for short, node in self.nodes.items():
            names |= {name: short for name in node.output if name and name not in names}
        layers = [_Layer.read(op, names) for op in graph.get_ordered_ops()]
        last_of = {layer.last: layer.name for layer in layers if layer.last is not None}
        values: dict[tuple[str, int], str] = {}
        constant: set[str] = set()
        for layer in layers:
            makes = layer.name_outputs(
                self.nodes, is_last=last_of.get(layer.last or "") == layer.name
            )
            values.update({(layer.name, port): name for port, name in enumerate(makes)})
            if layer.follows(constant):
                constant.add(layer.name)  # OpenVINO computes it while it compiles.
            if layer.kind in _SOURCES or layer.name in constant:
                continue
            name = self.nodes[layer.last].name if layer.last else f"openvino/{layer.name}"
            reads = [values[source] for source in layer.sources if source in values]
            self.executed.node.append(helper.make_node(layer.kind, reads, makes, name))
            event = KernelEvent(
                run=0, operator=name, op_type=layer.kind, provider=device, seconds=0.0
            )
            self.kernels.append((layer.name, event))

    def record(self, entries: Iterable["openvino.ProfilingInfo"]) -> None:
        """Keep the times of a run."""
        self.seconds.append({e.node_name: e.real_time.total_seconds() for e in entries})

    def list_events(self) -> tuple[KernelEvent, ...]:
        """Return the kernels of all runs; one that a run skipped took no time."""
        return tuple(
            KernelEvent(
                run=run,
                operator=kernel.operator,
                op_type=kernel.op_type,
                provider=kernel.provider,
                seconds=seconds.get(name, 0.0),
            )
            for run, seconds in enumerate(self.seconds)
            for name, kernel in self.kernels
        )


def prepare_tracing(proto: onnx.ModelProto) -> Tracing:
    """Give the nodes of a model's top graph short names, in place, and remember their own."""
    nodes: dict[str, onnx.NodeProto] = {}
    for place, node in enumerate(proto.graph.node):
        own = onnx.NodeProto()
        own.CopyFrom(node)
        node.name = f"{_PREFIX}{place}"
        nodes[node.name] = own
    return Tracing(nodes=nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One node of the runtime graph.

    Parameters
    ----------
    name, kind : str
        OpenVINO's name and its type of layer.
    last : str or None
        Short name of the last of the model's nodes that it stands for.
    sources : tuple of (str, int)
        Layer and port of each input.
    outputs : int
        How many it has.
    """

    name: str
    kind: str
    last: str | None
    sources: tuple[tuple[str, int], ...]
    outputs: int

    @classmethod
    def read(cls, op: "openvino.Node", names: Mapping[str, str]) -> "_Layer":
        """Read a node of the runtime graph, by its names of nodes or of what they make."""
        info = op.get_rt_info()
        originals = _read_text(info, "originalLayersNames").split(",")
        own = [names[name] for name in originals if name in names]
        return cls(
            name=op.get_friendly_name(),
            kind=_read_text(info, "layerType") or op.get_type_name(),
            last=max(own, key=_read_place) if own else None,
            sources=tuple(
                (source.get_node().get_friendly_name(), source.get_index())
                for source in op.input_values()
            ),
            outputs=op.get_output_size(),
        )

    def follows(self, constant: Collection[str]) -> bool:
        """Tell whether it is a constant, or made of constants alone."""
        makers = [name for name, _ in self.sources]
        return self.kind == _CONSTANT or (bool(makers) and all(n in constant for n in makers))

    def name_outputs(self, nodes: Mapping[str, onnx.NodeProto], *, is_last: bool) -> Sequence[str]:
        """Name the outputs as the model does, where this layer makes the model's values."""
        if self.kind == "Input":
            return [self.name] * self.outputs
        makes = [name for name in nodes[self.last].output if name] if self.last and is_last else []
        if len(makes) == self.outputs:
            return makes
        return [f"openvino/{self.name}/{port}" for port in range(self.outputs)]


def _read_text(info: Any, key: str) -> str:  # noqa: ANN401 - OpenVINO's map of any values
    """Read an entry of a node's runtime information, if it is there."""
    return str(info[key].astype(str)) if key in info else ""


def _read_place(name: str) -> int:
    """Return a node's place in the model."""
    return int(name.removeprefix(_PREFIX))
