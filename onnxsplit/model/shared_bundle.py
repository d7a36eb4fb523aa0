"""Bundles of several cuts of one model: stages for each, and every weight on disk once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, describe_stage, name_files, publish_bundle
from onnxsplit.model.saving import write_model_sharing
from onnxsplit.model.stages import Stage
from onnxsplit.model.weights import DataWriter
from onnxsplit.stage_entries import StageEntry

WEIGHTS_FILE = "weights.data"

DescribeCuts = Callable[[Path, Sequence[tuple[StageEntry, ...]]], Manifest]
"""Makes the manifest, given the folder with all files and the stages of each cut, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarvedCut:
    """A cut's stages, and how their files begin.

    Parameters
    ----------
    prefix : str
        Before the tier in a file's name; empty for the cut that the bundle itself describes.
    stages : tuple of Stage
    """

    prefix: str
    stages: tuple[Stage, ...]


def write_shared_bundle(
    folder: Path,
    cuts: Sequence[CarvedCut],
    describe: DescribeCuts,
    *,
    model_sha256: str | None,
    model_file: Path | None = None,
    force: bool = False,
) -> StoredBundle:
    """Write a bundle of several cuts; it appears whole, by rename, or not at all.

    Parameters
    ----------
    folder, model_sha256, model_file, force
        As for `onnxsplit.model.bundle.write_bundle`.
    cuts : sequence of CarvedCut
        Of one model.
    describe : callable

    Returns
    -------
    StoredBundle
        Weights of 1 kB and more lie in one file that all stages refer to; a runtime maps of it what
        its stage needs.

    Raises
    ------
    OutputError, ModelError
        As for `onnxsplit.model.bundle.write_bundle`.
    """

    def fill(draft: Path) -> Manifest:
        return describe(draft, _write_cuts(draft, cuts))

    return publish_bundle(
        folder, fill, model_sha256=model_sha256, model_file=model_file, force=force
    )


def _write_cuts(folder: Path, cuts: Sequence[CarvedCut]) -> list[tuple[StageEntry, ...]]:
    """Write every stage, and describe them once the weights' hash is known."""
    base_folder = cuts[0].stages[0].base_folder
    with DataWriter(folder / WEIGHTS_FILE, base_folder) as writer:
        written = [_write_stages(folder, cut, writer) for cut in cuts]
        weights = {WEIGHTS_FILE: writer.close()}
    path = folder / WEIGHTS_FILE
    if not path.stat().st_size:
        path.unlink()
        weights = {}
    return [tuple(replace(stage, data_files=weights) for stage in stages) for stages in written]


def _write_stages(folder: Path, cut: CarvedCut, writer: DataWriter) -> list[StageEntry]:
    """Write the stages of one cut."""
    stems = name_files([stage.tier for stage in cut.stages])
    return [
        describe_stage(
            stage,
            write_model_sharing(
                stage.proto,
                folder,
                f"{cut.prefix}{stems[stage.tier]}",
                writer,
                base_folder=stage.base_folder,
            ),
        )
        for stage in cut.stages
    ]
