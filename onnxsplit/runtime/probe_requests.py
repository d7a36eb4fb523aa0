"""Requests that measure a link: so many bytes up, so many down, and how long that took."""

import time

import numpy as np

from onnxsplit.errors import ProtocolError
from onnxsplit.model.probe_model import PAYLOAD, PROBE_NAME, RECEIVED, REPLY, REPLY_SIZE
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.ports import Transport
from onnxsplit.runtime.session_models import COMPUTE_SECONDS

PATIENCE_SECONDS = 30.0


class ProbeRequests:
    """Asks the probe model over one connection.

    Parameters
    ----------
    transport : Transport
        Not taken over; it must not compress.
    patience_seconds : float
        For a single request.
    """

    def __init__(self, transport: Transport, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._transport = transport
        self._patience_seconds = patience_seconds
        self._payload = np.empty(0, np.uint8)

    def ask(self, *, up_bytes: int = 1, down_bytes: int = 1) -> float:
        """Send and receive so many bytes.

        Returns
        -------
        float
            Seconds from the first byte sent to the last received, less what the model took.

        Raises
        ------
        ProtocolError
            The server refuses, has no probe model, or gives another number of bytes.
        TransportError
            As of `onnxsplit.runtime.ports.Transport.infer`.
        """
        request = InferRequest(
            model=PROBE_NAME,
            inputs={
                PAYLOAD: self._make_payload(up_bytes),
                REPLY_SIZE: np.array([down_bytes], np.int64),
            },
            outputs=(RECEIVED, REPLY),
        )
        start = time.perf_counter()
        response = self._transport.infer(request, timeout_seconds=self._patience_seconds)
        elapsed = time.perf_counter() - start
        outputs = response.outputs
        if RECEIVED not in outputs or REPLY not in outputs or outputs[REPLY].size != down_bytes:
            raise ProtocolError(
                f"The model {PROBE_NAME!r} of the server is not ours: it does not give"
                f" {down_bytes} bytes when it is asked to."
            )
        exchange = self._transport.exchange
        computed = response.parameters.get(COMPUTE_SECONDS, 0.0)
        waited = elapsed if exchange is None else exchange.wait_seconds
        return max(0.0, waited - float(computed))

    def _make_payload(self, size_bytes: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """Return bytes that nothing on the way can make smaller."""
        if self._payload.size < size_bytes:
            self._payload = np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8)
        return self._payload[:size_bytes]
