"""``connect``: open the device's half of a bundle, and know the server by its hashes."""

import os
from pathlib import Path

from onnxsplit.model.bundle import read_bundle
from onnxsplit.model.loading import ModelSource
from onnxsplit.runtime.client_security import ClientSecurity, read_token
from onnxsplit.runtime.device_half import DEFAULT_DEADLINE_SECONDS, DeviceHalf, Fallback
from onnxsplit.workflows.adapting import make_controller, open_adaptive_half
from onnxsplit.workflows.device_halves import ConnectOptions, choose_engine, open_half


def connect(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folder: str | os.PathLike[str],
    url: str,
    *,
    name: str | None = None,
    cut: str | None = None,
    fallback: Fallback | None = None,
    model: ModelSource | None = None,
    depth: int = 1,
    deadline_seconds: float | None = DEFAULT_DEADLINE_SECONDS,
    security: ClientSecurity | None = None,
    compress: bool = False,
    adaptive: bool = False,
    threads: int | None = None,
    provider: str | None = None,
) -> DeviceHalf:
    """Open the device's half of a bundle.

    Parameters
    ----------
    folder : path
        What `cut` wrote; of the stages, that of the device must be there.
    url : str
        The server's, such as ``http://host:8000``; reached when it is first needed.
    name, cut, fallback, model, depth, deadline_seconds, security, compress
        As in `onnxsplit.workflows.device_halves.ConnectOptions`.
    adaptive : bool
        Watch the link, and switch among the cuts that `cut` wrote with ``frontier=True``.
    threads, provider
        How the device runs its stage.

    Returns
    -------
    DeviceHalf
        Also a context manager: ``with osp.connect(...) as half: half.run({"image": image})``.

    Raises
    ------
    BundleError
        The bundle is malformed, or a file is missing or not the one that was written.
    UsageError
        An option is wrong.
    ModelError
        The stage can't be loaded.
    """
    options = ConnectOptions(
        name=name,
        cut=cut,
        fallback=fallback,
        model=model,
        depth=depth,
        deadline_seconds=deadline_seconds,
        security=security or ClientSecurity(),
        compress=compress,
        engine=choose_engine(threads, provider),
    )
    bundle = read_bundle(Path(folder))
    if adaptive:
        return open_adaptive_half(bundle, url, options, make_controller(bundle, options))
    return open_half(bundle, url, options, cuts=[options.cut or ""])


def read_security(
    *,
    authorities: Path | None,
    certificate: Path | None,
    key: Path | None,
    token_file: Path | None,
) -> ClientSecurity:
    """Gather what a client shows; the token is the file's first line.

    Raises
    ------
    UsageError
        The file can't be read, or the token can't stand in a header.
    """
    token = None if token_file is None else read_token(token_file)
    return ClientSecurity(authorities=authorities, certificate=certificate, key=key, token=token)
