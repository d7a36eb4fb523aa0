"""Bundles: the folder with the stages and their manifest."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from onnxsplit.errors import BundleError, ChecksumMismatchError, ManifestVersionError, OutputError
from onnxsplit.manifest import MANIFEST_FILE, Manifest
from onnxsplit.model.publication import check_place, open_draft, publish, translate_failures
from onnxsplit.model.saving import SavedModel, write_model
from onnxsplit.model.stages import Stage
from onnxsplit.stage_entries import StageEntry

BUNDLE_SUFFIX = ".split"
"""What folders' names end with by default."""

_LONGEST_STEM = 100

Describe = Callable[[Path, tuple[StageEntry, ...]], Manifest]
"""Makes the manifest, given the folder where the stages' files lie until all is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A bundle on disk.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    """

    folder: Path
    manifest: Manifest


def name_bundle(folder: Path) -> str:
    """Return the name under which a bundle's stage is served, unless it is given another.

    Examples
    --------
    >>> name_bundle(Path("somewhere/squeezenet.split"))
    'squeezenet'
    """
    stem = folder.resolve().name.removesuffix(BUNDLE_SUFFIX)
    return name_files([stem])[stem]


def write_bundle(
    folder: Path,
    stages: Sequence[Stage],
    describe: Describe,
    *,
    model_sha256: str | None,
    model_file: Path | None = None,
    force: bool = False,
) -> StoredBundle:
    """Write a bundle; it appears whole, by rename, or not at all.

    Parameters
    ----------
    folder : Path
        A bundle of the same model is replaced whole; anything else only with ``force``.
    stages : sequence of Stage
    describe : callable
        Called with a folder that holds the stages' files and with their entries; returns the
        manifest. What it raises ends the writing, and leaves what was there before.
    model_sha256 : str or None
        Hash of the source model.
    model_file : Path, optional
        The source model; folders that it lies in are never replaced.
    force : bool
        Replace whatever folder is there, whole. A file, the current folder, the home folder, and
        folders above these are refused all the same.

    Returns
    -------
    StoredBundle

    Raises
    ------
    OutputError
        The folder is taken, or can't be written.
    ModelError
        The model's external data can't be read.
    """
    stems = name_files([stage.tier for stage in stages])

    def fill(draft: Path) -> Manifest:
        return describe(draft, tuple(_write_stage(s, draft, stems[s.tier]) for s in stages))

    return publish_bundle(
        folder, fill, model_sha256=model_sha256, model_file=model_file, force=force
    )


def publish_bundle(
    folder: Path,
    fill: Callable[[Path], Manifest],
    *,
    model_sha256: str | None,
    model_file: Path | None,
    force: bool,
) -> StoredBundle:
    """Let a bundle's files be written, and the manifest beside them; all appears by rename.

    Parameters
    ----------
    folder, model_sha256, model_file, force
        As for `write_bundle`.
    fill : callable
        Writes all files but the manifest into a folder, and returns the manifest.

    Raises
    ------
    OutputError, ModelError
        As for `write_bundle`.
    """
    target = folder.resolve()
    check_place(target, folder, {} if model_file is None else {"the model": model_file})
    if not force and not _may_replace(target, model_sha256):
        raise OutputError(
            f"{folder} is there already and is not a bundle of this model alone;"
            " give --force to replace it whole, or choose another folder."
        )
    with open_draft(target) as draft:
        manifest = fill(draft)
        text = write_manifest(manifest)
        (draft / MANIFEST_FILE).write_text(text, encoding="utf-8", newline="\n")
        publish([(draft, target)])
    return StoredBundle(folder=folder, manifest=manifest)


def write_manifest(manifest: Manifest) -> str:
    """Write ``split.json``: keys in a fixed order, and null for numbers that are not finite."""
    return json.dumps(_finite(manifest.to_json()), indent=2, allow_nan=False) + "\n"


def read_bundle(folder: Path) -> StoredBundle:
    """Read a bundle's manifest; `check_files` looks at the files.

    Raises
    ------
    BundleError
        There is no such folder, or its manifest is missing or malformed.
    ManifestVersionError
        The manifest was written by an unknown version.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise BundleError(f"{folder} {what}; give the folder that `onnxsplit cut` wrote.")
    path = folder / MANIFEST_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder} has no {MANIFEST_FILE}; give a folder that `onnxsplit cut` wrote."
        ) from error
    except OSError as error:
        raise BundleError(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no JSON: {error}.") from error
    try:
        manifest = Manifest.from_json(document)
        _check_names(manifest)
    except ManifestVersionError as error:
        raise ManifestVersionError(f"{path}: {error}") from error
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    return StoredBundle(folder=folder, manifest=manifest)


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check that a bundle's files are those that its manifest describes.

    Raises
    ------
    BundleError
        A file is missing or can't be read.
    ChecksumMismatchError
        A file is not the one that was written.
    """
    for name, expected in list_files(manifest).items():
        path = folder / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise BundleError(
                f"The bundle {folder} has no file {name}; copy it there or cut the model again."
            ) from error
        except OSError as error:
            raise BundleError(f"{path} can't be read: {error.strerror}.") from error
        if found != expected:
            raise ChecksumMismatchError(
                f"{path} is not the file that {MANIFEST_FILE} describes: its sha256 is {found},"
                f" not {expected}; copy it again or cut the model again."
            )


def list_files(manifest: Manifest) -> Mapping[str, str]:
    """Map a bundle's files, but for the manifest, to their sha256."""
    files: dict[str, str] = {}
    for stage in list_stages(manifest):
        files.update(stage.files)
    for section in (manifest.training, manifest.trained):
        files.update((section or {}).get("files", {}))
    return files


def name_files(tiers: Sequence[str]) -> dict[str, str]:
    """Return a file stem for each tier: its name, with what not every file system takes replaced.

    Examples
    --------
    >>> name_files(["device", "edge/1", "Edge_1"])
    {'device': 'device', 'edge/1': 'edge_1', 'Edge_1': 'Edge_1_2'}
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for tier in tiers:
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", tier)[:_LONGEST_STEM]
        plain = plain if plain.strip("._-") else f"tier{plain.replace('.', '_')}"
        plain = f"_{plain[1:]}" if plain[0] in ".-" else plain
        stem, count = plain, 1
        while stem.lower() in taken:
            count += 1
            stem = f"{plain}_{count}"
        taken.add(stem.lower())
        stems[tier] = stem
    return stems


def list_stages(manifest: Manifest) -> list[StageEntry]:
    """List the stages of all cuts."""
    return [*manifest.stages, *(stage for cut in manifest.cuts for stage in cut.stages)]


def _write_stage(stage: Stage, folder: Path, stem: str) -> StageEntry:
    """Write a stage's files and describe them."""
    saved = write_model(stage.proto, folder, stem, base_folder=stage.base_folder)
    return describe_stage(stage, saved)


def describe_stage(stage: Stage, saved: SavedModel) -> StageEntry:
    """Describe a stage that was written, as far as its file tells."""
    return StageEntry(
        tier=stage.tier,
        file=saved.file,
        sha256=saved.sha256,
        data_files=saved.data_files,
        inputs=stage.inputs,
        outputs=stage.outputs,
        operators=len(stage.operators),
        weight_bytes=stage.weight_bytes,
    )


def _may_replace(target: Path, model_sha256: str | None) -> bool:
    """Tell whether the place is free, or holds a bundle of the same model and nothing else."""
    if not target.exists():
        return True
    with translate_failures(target):
        found = {entry.name for entry in target.iterdir()}
    if not found:
        return True
    try:
        manifest = read_bundle(target).manifest
    except BundleError:
        return False
    ours = {MANIFEST_FILE, *list_files(manifest)}
    return (
        model_sha256 is not None and manifest.model.get("sha256") == model_sha256 and found <= ours
    )


def _check_names(manifest: Manifest) -> None:
    """Refuse file names that lead out of the bundle."""
    # A name from the file may be anything, which `StageEntry.files` could not hold as a key.
    named: list[Iterable[Any]] = []
    for stage in list_stages(manifest):
        named.append((stage.file, *stage.data_files))
        if stage.lowered is not None:
            named.append((stage.lowered.file, *stage.lowered.files))
    named += [(section or {}).get("files", {}) for section in (manifest.training, manifest.trained)]
    for name in chain.from_iterable(named):
        if not name or Path(str(name)).name != name:
            raise BundleError(f"{name!r} is no plain file name.")


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON can be anything
    """Replace numbers that are not finite by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
