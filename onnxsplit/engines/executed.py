"""The graph that onnxruntime runs in the place of the model's own, node by node.

Even without optimisations it is not what the file holds: functions are replaced by their bodies,
and casts or copies are inserted where a provider lacks a kernel.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from onnxsplit.engines.ort import build_settings, load_native
from onnxsplit.engines.port import EngineOptions, ExecutedNode
from onnxsplit.errors import ModelError

_WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"


def read_executed_nodes(
    model: bytes | Path, options: EngineOptions, *, base_folder: Path | None = None
) -> tuple[ExecutedNode, ...]:
    """Return the nodes of the top graph that a session runs, in the order of its traces.

    The model is loaded once more and its graph written to a folder that is removed again.

    Parameters
    ----------
    model : bytes or Path
        As for `onnxsplit.engines.ort.open_session`.
    options : EngineOptions
    base_folder : Path, optional
        Where a serialized model's external data lies.

    Raises
    ------
    UsageError
        The provider is not available.
    ModelError
        onnxruntime can't load the model, or can't write the graph that it runs (as with providers
        that compile it).
    """
    folder = Path(tempfile.mkdtemp(prefix="onnxsplit-graph-"))
    try:
        settings = build_settings(options, base_folder)
        settings.optimized_model_filepath = str(folder / "graph.onnx")
        settings.add_session_config_entry(_WEIGHTS_FILE, "graph.data")
        load_native(model, settings, options)
        graph = onnx.load(folder / "graph.onnx", load_external_data=False).graph
    except OSError as error:
        raise ModelError("onnxruntime did not write the graph that it runs.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(_read_node(node) for node in graph.node)


def _read_node(node: onnx.NodeProto) -> ExecutedNode:
    """Read one node with what its bodies capture."""
    reads = dict.fromkeys((*filter(None, node.input), *_find_captured(node)))
    return ExecutedNode(
        name=node.name,
        op_type=node.op_type,
        inputs=tuple(reads),
        outputs=tuple(filter(None, node.output)),
    )


def _find_captured(node: onnx.NodeProto) -> Iterator[str]:
    """Find the values of outer graphs that a node's bodies read."""
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from _find_free(body)


def _find_free(body: onnx.GraphProto) -> Iterator[str]:
    """Find the values that a body reads and does not make."""
    made = {value.name for value in (*body.input, *body.initializer)}
    for node in body.node:
        reads: Sequence[str] = (*node.input, *_find_captured(node))
        yield from (name for name in reads if name and name not in made)
        made.update(node.output)
    yield from (value.name for value in body.output if value.name not in made)
