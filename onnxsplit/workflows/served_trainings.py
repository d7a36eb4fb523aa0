"""Trainings on their way to a server: the server's half of each bundle that has training stages."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.bundle import StoredBundle, check_files, name_bundle, read_bundle
from onnxsplit.progress import Progress
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.training.endpoint import serve_training
from onnxsplit.training.hosting import HostedHalves
from onnxsplit.training.section import TrainingSection, read_section


def load_trainings(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    options: EngineOptions,
    progress: Progress,
) -> Iterator[ServedModel]:
    """Open the server's halves of some bundles; the caller closes what is yielded.

    Parameters
    ----------
    folders : path or sequence of paths
        Of the training files, only the server's need be there.
    names : sequence of str
        One for each bundle, or none.
    options : EngineOptions
    progress : Progress

    Raises
    ------
    BundleError
        A bundle has no training stages, or a file is missing or not the one that was written.
    ModelError
        A stage can't be loaded.
    """
    given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    bundles = [read_bundle(Path(folder)) for folder in given]
    chosen = list(names) or [name_bundle(bundle.folder) for bundle in bundles]
    for name, bundle in zip(chosen, bundles, strict=True):
        progress.report(f"loading the training of {name}")
        section = read_section(bundle.folder, bundle.manifest)
        _check_server_files(bundle, section)
        halves = HostedHalves(partial(section.open_server, bundle.folder, options))
        yield from serve_training(section, name, halves)


def _check_server_files(bundle: StoredBundle, section: TrainingSection) -> None:
    """Check those of the training's files that the server's half needs."""
    needed = section.list_files(section.tiers[1])
    training = {"files": {name: section.files[name] for name in needed}}
    check_files(
        bundle.folder,
        replace(bundle.manifest, stages=(), cuts=(), trained=None, training=training),
    )
