"""The server's half of a training, here or far away, and what is done when it goes away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import UsageError
from onnxsplit.model.bundle import name_bundle
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.transports import choose_transport
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.remote import RemoteServer
from onnxsplit.training.section import TrainingSection


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingServer:
    """Where the server's half of a training is, and how patiently it is asked.

    Parameters
    ----------
    url : str
        ``http://host:8000`` and the like; `serve` with ``training`` answers there.
    name : str or None
        Under which the bundle is served; the folder's without ``.split`` if None.
    client : str
        Empty to train the half that all clients share, else a half of this client's own.
    security : ClientSecurity
    timeout_seconds : float
        For each message.
    patience_seconds : float
        How long a server that went away is waited for.
    renew : bool
        Put the server's half back into its first state, whatever it has learnt.
    """

    url: str
    name: str | None = None
    client: str = ""
    security: ClientSecurity = field(default_factory=ClientSecurity)
    timeout_seconds: float = 60.0
    patience_seconds: float = 60.0
    renew: bool = False

    def __post_init__(self) -> None:
        """Refuse times that let nothing pass."""
        for name in ("timeout_seconds", "patience_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be positive.")


@contextmanager
def open_training_server(
    server: TrainingServer | None, section: TrainingSection, folder: Path, options: EngineOptions
) -> Iterator[ServerPort]:
    """Open the server's half in this process, or reach it.

    Parameters
    ----------
    server : TrainingServer or None
        None for this process.
    section : TrainingSection
    folder : Path
        The bundle's.
    options : EngineOptions

    Raises
    ------
    TransportError
        The server can't be reached, or trains another half.
    OnnxSplitError
        The half can't be opened.
    """
    if server is None:
        half = section.open_server(folder, options)
        try:
            yield half
        finally:
            half.close()
        return
    transport = choose_transport(server.url, server.security)()
    remote = RemoteServer(
        transport,
        server.name or name_bundle(folder),
        client=server.client,
        timeout_seconds=server.timeout_seconds,
    )
    try:
        remote.shake_hands(section)
        yield remote
    finally:
        remote.close()


def start_server(server: TrainingServer | None, half: ServerPort) -> None:
    """Make sure that a half far away has learnt nothing yet.

    Raises
    ------
    UsageError
        It has, and it was not said that this may be forgotten.
    """
    if server is None or not isinstance(half, RemoteServer):
        return
    if server.renew:
        half.renew()
    steps = half.count_steps()
    if steps:
        raise UsageError(
            f"The server's half at {server.url} has learnt {steps} steps already; go on from a"
            " checkpoint with --resume, or begin anew with --renew-server."
        )
