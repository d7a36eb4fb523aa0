"""The server's half as the device reaches it over a network."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from onnxsplit.engines.port import Array
from onnxsplit.errors import ConnectionLostError, PeerMismatchError, ProtocolError, TransportError
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter
from onnxsplit.runtime.ports import Transport
from onnxsplit.training import messages
from onnxsplit.training.ports import EvaluationRequest, StepAnswer, StepRequest
from onnxsplit.training.section import TrainingSection

_MESSAGE_BYTES = 32 * 2**20
"""States travel in messages of about this size, which any server of ours takes."""

_POLL_SECONDS = 0.2

Result = TypeVar("Result")


class RemoteServer:
    """A server's half far away; implements `onnxsplit.training.ports.ServerPort`.

    A request whose connection breaks is sent once more: the server knows a step by its number and
    its batch, and learns nothing twice.

    Parameters
    ----------
    transport : Transport
        Taken over, and closed with this.
    base : str
        What the models' names begin with.
    client : str
        Whose half is meant; empty for the one that all share.
    timeout_seconds : float or None
        For each message.
    """

    def __init__(
        self,
        transport: Transport,
        base: str,
        *,
        client: str = "",
        timeout_seconds: float | None = None,
    ) -> None:
        self._transport = transport
        self._base = base
        self._client = client
        self._timeout_seconds = timeout_seconds

    def shake_hands(self, section: TrainingSection) -> None:
        """Make sure that the server trains the other half of this bundle.

        Raises
        ------
        PeerMismatchError
            It trains another one.
        TransportError
            It can't be reached, or trains nothing under this name.
        """
        told = self._describe_state().parameters.get(messages.FINGERPRINT)
        if told != section.fingerprint:
            raise PeerMismatchError(
                f"The server trains another half under {self._base!r}: its bundle's"
                f" {messages.FINGERPRINT} is {told!r}, and ours {section.fingerprint!r}; copy the"
                " same bundle to both machines."
            )

    def wait(self, seconds: float) -> None:
        """Wait until the server takes requests again.

        Raises
        ------
        TransportError
            It does not within the time.
        """
        end = time.monotonic() + seconds
        while not self._transport.is_ready(messages.name_model(self._base, messages.STATE)):
            if time.monotonic() > end:
                raise TransportError(f"The server was not back within {seconds:g} s.")
            time.sleep(_POLL_SECONDS)

    def run_stage(self, request: StepRequest) -> StepAnswer:
        """Have the server run a stage; see the port."""
        return self._exchange(messages.write_step(self._base, request, self._client))

    def evaluate(self, request: EvaluationRequest) -> StepAnswer:
        """Have the server score; see the port."""
        return self._exchange(messages.write_evaluation(self._base, request, self._client))

    def count_steps(self) -> int:
        """Ask how many steps the server's state has seen."""
        return _read_steps(self._ask_state({}, ()))

    def read_state(self) -> dict[str, Array]:
        """Fetch the server's state, in as many messages as its size asks for.

        Raises
        ------
        ProtocolError
            The server learnt meanwhile, so that what came is no one state.
        """
        state: dict[str, Array] = {}
        steps = set()
        for names in _gather(self._describe_state().outputs):
            response = self._ask_state({}, tuple(names))
            steps.add(_read_steps(response))
            state |= response.outputs
        if len(steps) > 1:
            raise ProtocolError("The server's state changed while it was read; read it again.")
        return state

    def write_state(self, state: Mapping[str, Array], *, step: int) -> None:
        """Send the server a state; see the port."""
        specs = [spec for spec in self._describe_state().inputs if spec.name in state]
        parts = list(_gather(specs)) or [[]]
        name = secrets.token_hex(8)
        for place, names in enumerate(parts, start=1):
            kind = messages.WRITE_LAST if place == len(parts) else messages.WRITE_PART
            parameters: dict[str, Parameter] = {messages.WRITE: kind, messages.STEP: step}
            self._ask_state(parameters, (), {tensor: state[tensor] for tensor in names}, name=name)

    def renew(self) -> None:
        """Have the server put its state back to the bundle's first one."""
        self._ask_state({messages.RENEW: True}, ())

    def drop(self) -> None:
        """Have the server let go of this client's own half."""
        self._ask_state({messages.DROP: True}, ())

    def close(self) -> None:
        """Close the connection; the server goes on."""
        self._transport.close()

    def _exchange(self, request: InferRequest) -> StepAnswer:
        """Send a request and read the answer."""
        started = time.perf_counter()
        response = self._send(request)
        return messages.read_answer(response, time.perf_counter() - started)

    def _ask_state(
        self,
        parameters: Mapping[str, Parameter],
        outputs: Sequence[str],
        inputs: Mapping[str, Array] | None = None,
        *,
        name: str = "",
    ) -> InferResponse:
        """Ask the model of the state."""
        client: dict[str, Parameter] = {messages.CLIENT: self._client} if self._client else {}
        return self._send(
            InferRequest(
                model=messages.name_model(self._base, messages.STATE),
                inputs=inputs or {},
                outputs=tuple(outputs),
                id=name,
                parameters={**client, **parameters},
            )
        )

    def _describe_state(self) -> ModelMetadata:
        """Ask what the state holds."""
        model = messages.name_model(self._base, messages.STATE)
        return self._retry(lambda: self._transport.describe_model(model))

    def _send(self, request: InferRequest) -> InferResponse:
        """Send a request; if the connection breaks, once more."""
        return self._retry(
            lambda: self._transport.infer(request, timeout_seconds=self._timeout_seconds)
        )

    @staticmethod
    def _retry(ask: Callable[[], Result]) -> Result:
        """Ask, and once more if the connection breaks."""
        try:
            return ask()
        except ConnectionLostError:
            return ask()


def _read_steps(response: InferResponse) -> int:
    """Return the steps that a state has seen."""
    steps = response.parameters.get(messages.STEP)
    if not isinstance(steps, int):
        raise ProtocolError("The server does not tell how many steps its state has seen.")
    return steps


def _gather(specs: Sequence[TensorSpec]) -> Iterator[list[str]]:
    """Put tensors together into messages that are not too large."""
    names: list[str] = []
    size = 0
    for spec in specs:
        if names and size + (spec.size_bytes or 0) > _MESSAGE_BYTES:
            yield names
            names, size = [], 0
        names.append(spec.name)
        size += spec.size_bytes or 0
    if names:
        yield names
