"""A model that an engine runs, as a server serves it."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from onnxsplit.engines.port import Array, Session, Value
from onnxsplit.errors import ModelError, RequestError
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.tensor_checks import check_inputs, check_outputs

HANDSHAKE = ("model_sha256", "stage_sha256", "tier")
"""Facts that a request may name among its parameters, to be sure whom it talks to."""

COMPUTE_SECONDS = "compute_seconds"
"""The response's parameter that tells how long the model ran."""

_CONFLICT = 409


class SessionModel:
    """A model in an engine's session; implements `onnxsplit.runtime.ports.ServedModel`.

    Parameters
    ----------
    session : Session
        Taken over, and closed with this. It must allow runs from several threads at once.
    metadata : ModelMetadata
        What it takes and gives; requests are checked against this before the engine sees them.
    clock : callable
        Seconds from any beginning.
    """

    def __init__(
        self,
        session: Session,
        metadata: ModelMetadata,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._metadata = metadata
        self._clock = clock

    @property
    def metadata(self) -> ModelMetadata:
        """What it takes and gives."""
        return self._metadata

    def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request; see `onnxsplit.runtime.ports.ServedModel.infer`.

        Raises
        ------
        RequestError
            Inputs or outputs are not those of the model (400), or the request is meant for
            another half or model (409).
        ModelError
            The engine fails on the inputs.
        """
        name = self._metadata.name
        check_handshake(request, self._metadata)
        check_inputs(name, request.inputs, self._metadata.inputs)
        check_outputs(name, request.outputs, self._metadata.outputs)
        wanted = request.outputs or tuple(spec.name for spec in self._metadata.outputs)
        start = self._clock()
        values = self._session.run(request.inputs, wanted)
        seconds = self._clock() - start
        return InferResponse(
            model=name,
            version=self._metadata.versions[-1],
            id=request.id,
            outputs=_require_dense(values),
            parameters={COMPUTE_SECONDS: seconds},
        )

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def check_handshake(request: InferRequest, metadata: ModelMetadata) -> None:
    """Refuse a request that is meant for another half, or the half of another model.

    Raises
    ------
    RequestError
        With the status 409.
    """
    for fact in HANDSHAKE:
        expected = request.parameters.get(fact)
        found = metadata.parameters.get(fact)
        if expected is not None and found is not None and expected != found:
            raise RequestError(
                f"The request is meant for {fact} {expected!r}, and {metadata.name!r} has"
                f" {found!r}; copy the same bundle to both machines.",
                status=_CONFLICT,
            )


def _require_dense(values: Mapping[str, Value]) -> dict[str, Array]:
    """Return outputs, all of them arrays."""
    arrays = {}
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            raise ModelError(f"The output {name!r} is no dense tensor, and only these travel.")
        arrays[name] = value
    return arrays
