"""What an engine does not do that `onnxsplit serve` does, for the stages that need it."""

from collections.abc import Iterator, Sequence

from onnxsplit.deployment.services import Service
from onnxsplit.deployment.settings import Engine


def list_notes(engine: Engine, services: Sequence[Service]) -> Iterator[str]:
    """Yield a sentence for each thing that a user of the repository has to know.

    Parameters
    ----------
    engine : str
    services : sequence of Service
    """
    for service in services:
        if service.stage.state_bytes != 0 and engine != "ray":
            yield (
                f"{service.name} has states. Here the caller sends and takes them with every"
                " request, which `onnxsplit run` does not do; `onnxsplit serve` and Ray Serve keep"
                " them by sequence."
            )
        if not service.is_last:
            yield (
                f"{service.name} is not the end of its chain. Here what it gives goes back to the"
                " caller; `onnxsplit serve --next` forwards it, as `onnxsplit run` expects."
            )
