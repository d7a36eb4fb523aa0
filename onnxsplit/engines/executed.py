"""The graph that onnxruntime runs in the place of the model's own, node by node.

Even without optimisations it is not what the file holds: functions are replaced by their bodies,
and casts or copies are inserted where a provider lacks a kernel.
"""

import os
from pathlib import Path

import onnx
import onnxruntime
from google.protobuf.message import DecodeError

_GRAPH_FILE = "executed.onnx"
_WEIGHTS_FILE = "executed.data"
_WEIGHTS_KEY = "session.optimized_model_external_initializers_file_name"


def request_executed_graph(settings: onnxruntime.SessionOptions, folder: Path) -> None:
    """Let a session that is loaded with these settings write its graph into a folder.

    Weights go nowhere where the system has a file for that; they may be as large as the memory.
    """
    if os.name == "posix":
        (folder / _WEIGHTS_FILE).symlink_to(os.devnull)
    settings.optimized_model_filepath = str(folder / _GRAPH_FILE)
    settings.add_session_config_entry(_WEIGHTS_KEY, _WEIGHTS_FILE)


def load_executed_graph(folder: Path) -> onnx.GraphProto | None:
    """Read the graph that a session wrote, or return None if it did not."""
    try:
        graph = onnx.load(folder / _GRAPH_FILE, load_external_data=False).graph
    except (OSError, DecodeError):
        return None
    for name in (_GRAPH_FILE, _WEIGHTS_FILE):
        (folder / name).unlink(missing_ok=True)
    return graph
