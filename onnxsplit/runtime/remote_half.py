"""The next tier as the device asks it: known by its hashes, and asked again once."""

import itertools
import queue
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from onnxsplit.engines.port import Array
from onnxsplit.errors import (
    ConnectionLostError,
    LinkTimeoutError,
    PeerMismatchError,
    ProtocolError,
)
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter
from onnxsplit.runtime.ports import Transport
from onnxsplit.runtime.split_cuts import RemotePart

MakeTransport = Callable[[], Transport]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAnswer:
    """What the next tier answered.

    Parameters
    ----------
    response : InferResponse
    exchange : Exchange or None
        None where the transport can't tell.
    retries : int
        How often the request was sent again.
    """

    response: InferResponse
    exchange: Exchange | None
    retries: int


class RemoteHalf:
    """Asks the next tier; up to as many requests travel at once as there are connections.

    Parameters
    ----------
    make_transport : callable
        Makes a connection, opened when it is first used.
    connections : int
    """

    def __init__(self, make_transport: MakeTransport, *, connections: int = 1) -> None:
        self._transports = [make_transport() for _ in range(connections)]
        self._idle: queue.LifoQueue[Transport] = queue.LifoQueue()
        for transport in self._transports:
            self._idle.put(transport)
        self._name = secrets.token_hex(4)
        self._numbers = itertools.count()

    @contextmanager
    def lend(self, deadline: Deadline) -> Iterator[Transport]:
        """Lend a connection; nobody else uses it meanwhile.

        Raises
        ------
        LinkTimeoutError
            None became free in time.
        """
        try:
            transport = self._idle.get(timeout=deadline.remaining_seconds)
        except queue.Empty as error:
            raise LinkTimeoutError("No connection to the server became free in time.") from error
        try:
            yield transport
        finally:
            self._idle.put(transport)

    def shake_hands(self, part: RemotePart) -> ModelMetadata:
        """Ask who is there, and make sure that it is the other half of our own.

        Returns
        -------
        ModelMetadata
            A server that is not ours may tell no hashes; then its inputs are compared alone.

        Raises
        ------
        PeerMismatchError
            It is another half, or the half of another model.
        TransportError
            It can't be reached, or has no such model.
        """
        with self.lend(Deadline(end_seconds=None)) as transport:
            found = transport.describe_model(part.model)
        for fact, expected in part.facts.items():
            told = found.parameters.get(fact, expected)
            if told != expected:
                raise PeerMismatchError(
                    f"{part.model!r} on the server has {fact} {told!r}, and this bundle needs"
                    f" {expected!r}; copy the same bundle to both machines."
                )
        _compare_inputs(part, found)
        return found

    def ask(
        self,
        part: RemotePart,
        values: Mapping[str, Array],
        parameters: Mapping[str, Parameter],
        deadline: Deadline,
        *,
        name: str = "",
    ) -> RemoteAnswer:
        """Send a request; if the connection breaks, once more.

        Inference changes nothing, so that it may be asked for again; a server that keeps states
        knows the request's id and answers from memory. A relay hands its own request's id on as
        the `name`, so that this holds along the chain.

        Raises
        ------
        TransportError
            As of `onnxsplit.runtime.ports.Transport.infer`.
        """
        request = InferRequest(
            model=part.model,
            inputs=values,
            id=name or f"{self._name}-{next(self._numbers)}",
            outputs=part.outputs,
            parameters=parameters,
        )
        with self.lend(deadline) as transport:
            try:
                response, retries = self._send(transport, request, deadline), 0
            except ConnectionLostError:
                response, retries = self._send(transport, request, deadline), 1
            exchange = transport.exchange
        _check_outputs(part, response)
        return RemoteAnswer(response=response, exchange=exchange, retries=retries)

    def is_ready(self, model: str) -> bool:
        """Ask whether the model takes requests."""
        with self.lend(Deadline(end_seconds=None)) as transport:
            return transport.is_ready(model)

    def close(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            with suppress(OSError):
                transport.close()

    @staticmethod
    def _send(transport: Transport, request: InferRequest, deadline: Deadline) -> InferResponse:
        """Send a request once."""
        return transport.infer(request, timeout_seconds=deadline.remaining_seconds)


def _compare_inputs(part: RemotePart, found: ModelMetadata) -> None:
    """Refuse a model that takes something else."""
    theirs = {spec.name: spec.dtype for spec in found.inputs}
    ours = {spec.name: spec.dtype for spec in part.specs}
    if theirs != ours:
        raise PeerMismatchError(
            f"{part.model!r} on the server takes {_word(theirs)}, and this bundle sends"
            f" {_word(ours)}; copy the same bundle to both machines."
        )


def _check_outputs(part: RemotePart, response: InferResponse) -> None:
    """Refuse an answer without what was asked for."""
    for name in part.outputs:
        if name not in response.outputs:
            raise ProtocolError(f"The server's answer lacks the output {name!r} of {part.model!r}.")


def _word(types: Mapping[str, str | None]) -> str:
    """Name tensors with their types."""
    return ", ".join(f"{name} ({dtype})" for name, dtype in types.items()) or "nothing"
