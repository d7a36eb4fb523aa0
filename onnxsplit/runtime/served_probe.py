"""The probe model, served beside the stages."""

from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.probe_model import PROBE_NAME, make_probe
from onnxsplit.runtime.messages import ModelMetadata
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.served_stages import OpenSession
from onnxsplit.runtime.session_models import SessionModel


def load_probe(open_session: OpenSession) -> ServedModel:
    """Load the probe model, on one thread of the processor.

    Parameters
    ----------
    open_session : callable
        Loads a model into an engine.
    """
    session = open_session(make_probe().SerializeToString(), EngineOptions(threads=1))
    return SessionModel(
        session, ModelMetadata(name=PROBE_NAME, inputs=session.inputs, outputs=session.outputs)
    )
