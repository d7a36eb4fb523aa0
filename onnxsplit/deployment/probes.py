"""The probe model beside the stages, so that a link can be measured through any engine."""

import hashlib
from pathlib import Path

from onnxsplit.deployment.services import MODEL_FILE, Service
from onnxsplit.model.dtypes import read_type
from onnxsplit.model.probe_model import PROBE_NAME, make_probe
from onnxsplit.stage_entries import StageEntry

PROBE_TIER = "probe"


def make_probe_service() -> Service:
    """Make the probe model, ready to be served."""
    proto = make_probe()
    content = proto.SerializeToString(deterministic=True)
    graph = proto.graph
    return Service(
        name=PROBE_NAME,
        bundle=PROBE_NAME,
        stage=StageEntry(
            tier=PROBE_TIER,
            file=MODEL_FILE,
            sha256=hashlib.sha256(content).hexdigest(),
            inputs=tuple(read_type(value.name, value.type) for value in graph.input),
            outputs=tuple(read_type(value.name, value.type) for value in graph.output),
            operators=len(graph.node),
            weight_bytes=0,
            threads=1,
        ),
        folder=Path(),
        model_sha256=None,
        content=content,
    )
