"""The two ports of the runtime: what a server serves, and what a client speaks through."""

from typing import Protocol, Self

from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata


class ServedModel(Protocol):
    """Anything that answers inference requests: a stage, a relay, a probe, a training half.

    A server calls it from several threads at once.
    """

    @property
    def metadata(self) -> ModelMetadata:
        """What it takes and gives."""

    def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request.

        Raises
        ------
        RequestError
            The request is wrong; the server answers with its status and its sentence.
        OnnxSplitError
            The model fails on it, or, of a relay, the next server does.
        """

    def close(self) -> None:
        """Let go of what it holds; closing twice is allowed."""


class Transport(Protocol):
    """A warm connection to one server; also a context manager that closes it.

    Foreign exceptions are mapped inside: a caller sees `TransportError` and its kin alone.
    """

    @property
    def exchange(self) -> Exchange | None:
        """What the last request that was answered took; None where that is not known."""

    def infer(
        self, request: InferRequest, *, timeout_seconds: float | None = None
    ) -> InferResponse:
        """Send one request and wait for its response.

        Raises
        ------
        LinkTimeoutError
            No answer within the time.
        ProtocolError
            The server refuses the request, or answers what the protocol does not allow.
        ConnectionLostError
            The connection broke before the answer was here.
        TransportError
            The server can't be reached.
        """

    def describe_model(self, model: str, version: str = "") -> ModelMetadata:
        """Ask what a model takes and gives; raises as `infer` does."""

    def is_ready(self, model: str = "") -> bool:
        """Ask whether the server, or one of its models, takes requests; False if out of reach."""

    def close(self) -> None:
        """Close the connection; closing twice is allowed."""

    def __enter__(self) -> Self:
        """Return the transport itself."""

    def __exit__(self, *exception: object) -> None:
        """Close the connection."""
