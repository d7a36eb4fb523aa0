"""What travels between Flower's apps: states as arrays, figures as metrics, settings by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError, suggest
from onnxsplit.training.rounds import SCHEMES, Scheme

DEVICE_STATE, ORDER, FIGURES, MEMORY = "device-state", "order", "figures", "onnxsplit"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowerSettings:
    """What a run is configured by: ``[tool.flwr.app.config]``, or ``flwr run --run-config``.

    Parameters
    ----------
    bundle : Path
        What `cut` wrote with training stages; the same on all machines.
    server : str
        URL of `serve --training`.
    name : str
        Under which the bundle is served; the folder's without ``.split`` if empty.
    data : Path
        A folder of files ``<client>.npz``; a node's own configuration may name its data instead.
    output : Path
        Folder for the trained bundle.
    clients : int
        Nodes to wait for.
    rounds, local_epochs : int
    batch_size : int or None
    learning_rate : float
    scheme : str
    seed : int
    threads : int
        Of each half; 0 for all cores.
    message_seconds : float
        How long a client may take for its part of a round.
    token_file : Path or None
    authorities : Path or None
        Certificates that the server's must come from.
    """

    bundle: Path
    server: str
    output: Path
    name: str = ""
    data: Path = Path()
    clients: int = 2
    rounds: int = 1
    local_epochs: int = 1
    batch_size: int | None = None
    learning_rate: float = 0.01
    scheme: Scheme = "splitfed-v2"
    seed: int = 0
    threads: int = 0
    message_seconds: float = 3600.0
    token_file: Path | None = None
    authorities: Path | None = None

    @classmethod
    def read(cls, configuration: Mapping[str, Any]) -> Self:
        """Read a run's configuration; its keys have hyphens.

        Raises
        ------
        UsageError
            A key is missing or unknown, or a value makes no sense.
        """
        known = {name.replace("_", "-"): name for name in cls.__dataclass_fields__}
        for key in configuration:
            if key not in known:
                raise UsageError(f"The run's configuration has {key!r}. {suggest(key, known)}")
        for key in ("bundle", "server", "output"):
            if not configuration.get(key):
                raise UsageError(
                    f"The run's configuration lacks {key!r}; give it by --run-config or in the"
                    " app's pyproject.toml."
                )
        values = {known[key]: value for key, value in configuration.items() if value != ""}
        for name in ("bundle", "data", "output", "token_file", "authorities"):
            if name in values:
                values[name] = Path(str(values[name]))
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse numbers and schemes that make no sense."""
        for name in ("clients", "rounds", "local_epochs", "learning_rate", "message_seconds"):
            if not getattr(self, name) > 0:
                key = name.replace("_", "-")
                raise UsageError(f"The run's {key!r} is {getattr(self, name)!r}; give more than 0.")
        if self.scheme not in SCHEMES:
            raise UsageError(f"There is no scheme {self.scheme!r}. {suggest(self.scheme, SCHEMES)}")


def require_flower() -> Any:  # noqa: ANN401 - a module of an extra
    """Return the module of Flower's public names.

    Raises
    ------
    UsageError
        The extra is not installed.
    """
    try:
        import flwr.app  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError('Flower is not installed: pip install "onnxsplit[flower]".') from error
    return flwr.app


def write_state(state: Mapping[str, Array]) -> Any:  # noqa: ANN401 - a record of an extra
    """Return a state as an ``ArrayRecord``."""
    flower = require_flower()
    return flower.ArrayRecord({name: flower.Array(value) for name, value in state.items()})


def read_state(record: Any) -> dict[str, Array]:  # noqa: ANN401 - a record of an extra
    """Return the state in an ``ArrayRecord``."""
    return {str(name): array.numpy() for name, array in record.items()}
