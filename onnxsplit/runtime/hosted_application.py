"""A service as an ASGI application that somebody else's server runs."""

from onnxsplit.runtime.http_application import HttpApplication
from onnxsplit.runtime.http_exchanges import Message, Receive, Scope, Send
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.service import InferenceService


class HostedApplication:
    """Answers as the embedded HTTP server does, and ends with the server that hosts it.

    Parameters
    ----------
    service : InferenceService
        Taken over: drained and closed when the host says that it shuts down.
    limits : HttpLimits
        Sizes alone; times and connections are the host's affair.
    token : str, optional
        Bearer token that requests must show.
    drain_seconds : float
        How long what was begun may take then.
    """

    def __init__(
        self,
        service: InferenceService,
        limits: HttpLimits,
        *,
        token: str | None = None,
        drain_seconds: float = 30.0,
    ) -> None:
        self._service = service
        self._answers = HttpApplication(service, limits, token=token)
        self._drain_seconds = drain_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or follow the host's life (ASGI's ``lifespan``)."""
        if scope["type"] == "http":
            await self._answers(scope, receive, _send_bytes(send))
        elif scope["type"] == "lifespan":
            await self._follow(receive, send)

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        return self._service.is_ready()

    def close(self) -> None:
        """Drain and close the service; closing twice is allowed."""
        self._service.drain(self._drain_seconds)
        self._service.close()

    async def _follow(self, receive: Receive, send: Send) -> None:
        """Say yes to the start, and close at the end."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _send_bytes(send: Send) -> Send:
    """Send bodies as bytes: our own server takes views of tensors, others keep to ASGI's letter."""

    async def send_bytes(message: Message) -> None:
        body = message.get("body")
        await send({**message, "body": bytes(body)} if isinstance(body, memoryview) else message)

    return send_bytes
