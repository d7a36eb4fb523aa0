"""The graph that onnxruntime runs in the place of the model's own, node by node.

Even without optimisations it is not what the file holds: functions are replaced by their bodies,
and casts or copies are inserted where a provider lacks a kernel.
"""

import shutil
import tempfile
from pathlib import Path

import onnx

from onnxsplit.engines.native import build_settings, load_native
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ModelError

_WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"


def read_executed_graph(
    model: bytes | Path, options: EngineOptions, *, base_folder: Path | None = None
) -> onnx.GraphProto:
    """Return the graph that a session runs, without its weights.

    Its nodes are in the order of execution, which is that of the session's traces; those that the
    engine made may have no name. The model is loaded once more, and its graph is written to a
    folder that is removed again.

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
    return graph
