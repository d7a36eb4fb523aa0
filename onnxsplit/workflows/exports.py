"""``export``: a repository that another engine loads."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsplit.deployment.engines import build_repository
from onnxsplit.deployment.repositories import write_repository
from onnxsplit.deployment.services import list_services
from onnxsplit.deployment.settings import (
    DEFAULT_MAX_BATCH,
    Accelerator,
    Engine,
    ServingSettings,
)
from onnxsplit.errors import UsageError
from onnxsplit.model.bundle import check_files, read_bundle
from onnxsplit.progress import Progress, SilentProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written.

    Parameters
    ----------
    folder : Path
    document : mapping
        ``export.json``: the engine, its models, and all files.
    """

    folder: Path
    document: Mapping[str, Any]


def export(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    to: Engine,
    names: Sequence[str] = (),
    tier: str | None = None,
    accelerator: Accelerator = "cpu",
    instances: int = 1,
    max_batch: int = DEFAULT_MAX_BATCH,
    dynamic_batching: bool = False,
    storage_uri: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Export:
    """Write a repository of bundles' server stages that an engine loads as it is.

    Parameters
    ----------
    folders : path or sequence of paths
        What `cut` wrote; each bundle becomes a model of its own name.
    output : path
        The folder to write.
    to : {"triton", "kserve", "openvino", "ray"}
        The engine.
    names : sequence of str
        One for each bundle; the folders' names without ``.split`` if empty.
    tier : str, optional
        Whose stage is exported; the last one's if not given.
    accelerator : {"cpu", "gpu", "npu", "tensorrt", "openvino"}
        What runs the models.
    instances : int
        How many copies of each model answer at once.
    max_batch : int
        The largest batch, where the dims allow one.
    dynamic_batching : bool
        Let the engine join requests to batches.
    storage_uri : str, optional
        Where a cluster finds the repository.
    force : bool
        Replace whatever folder is there, whole.
    progress : Progress, optional

    Returns
    -------
    Export

    Raises
    ------
    UsageError
        The options do not suit the engine, each other or a model.
    BundleError
        A bundle is malformed, or a file is not the one that was written.
    UnsupportedModelError
        A stage takes or gives what the engine has no type for.
    OutputError
        The folder is taken, or can't be written.
    """
    progress = progress or SilentProgress()
    given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    if not given:
        raise UsageError("Give at least one folder that `onnxsplit cut` wrote.")
    settings = ServingSettings(
        accelerator=accelerator,
        instances=instances,
        max_batch=max_batch,
        dynamic_batching=dynamic_batching,
        storage_uri=storage_uri,
    )
    progress.report("checking the bundles")
    bundles = [read_bundle(Path(folder)) for folder in given]
    services = list_services(bundles, names=names, tier=tier)
    repository = build_repository(to, services, settings)
    for bundle in bundles:
        check_files(bundle.folder, bundle.manifest)
    progress.report("writing the repository")
    protected = {f"the bundle {bundle.folder}": bundle.folder for bundle in bundles}
    write_repository(Path(output), repository, protected=protected, force=force)
    return Export(folder=Path(output), document=repository.to_json())
