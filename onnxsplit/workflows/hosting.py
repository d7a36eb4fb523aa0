"""``host``: stages of bundles as an application for any ASGI server, such as Ray Serve's."""

import os
from collections.abc import Sequence

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions, Runtime
from onnxsplit.progress import SilentProgress
from onnxsplit.runtime.hosted_application import HostedApplication
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.served_stages import StageOptions
from onnxsplit.runtime.service import ServiceOptions
from onnxsplit.workflows.served_bundles import load_bundles
from onnxsplit.workflows.stage_services import choose_room, open_service


def host(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    names: Sequence[str] = (),
    tier: str | None = None,
    token: str | None = None,
    queue: int = ServiceOptions().queue,
    workers: int | None = None,
    threads: int | None = None,
    provider: str | None = None,
    runtime: Runtime | None = None,
) -> HostedApplication:
    """Load the stages of bundles into an ASGI application that answers as `serve` does.

    Parameters
    ----------
    folders, names, tier, token, queue, workers, threads, provider, runtime
        As of `onnxsplit.workflows.serving.serve`.

    Returns
    -------
    HostedApplication
        Limits on times and connections are up to the server that hosts it.

    Raises
    ------
    UsageError, BundleError, ModelError
        As of `onnxsplit.workflows.serving.serve`.
    """
    stages = StageOptions(
        engine=EngineOptions(provider=provider or CPU_PROVIDER, threads=threads or 0),
        runtime=runtime,
    )
    room = choose_room(workers=workers, queue=queue)
    models = load_bundles(folders, names, tier, stages, None, SilentProgress())
    service = open_service(models, room)
    return HostedApplication(service, HttpLimits(), token=token)
