"""Checkpoints: both halves and all that the next step depends on, whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxsplit.engines.port import Array
from onnxsplit.errors import BundleError, ChecksumMismatchError, ManifestVersionError, OutputError
from onnxsplit.model.publication import open_draft, publish
from onnxsplit.training.storage import load_state, save_state

CHECKPOINT_SCHEMA = "onnxsplit.checkpoint/1"
CHECKPOINT_FILE = "checkpoint.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a training stands.

    Parameters
    ----------
    bundle : str
        Hash over the bundle's training files: no other bundle can go on from here.
    step : int
        Steps that are done.
    epoch : int
        The epoch that the next step belongs to, counted from 1.
    place : int
        Batches of that epoch that are done.
    seed : int or None
        Of the shuffling; with the epoch's number it gives the order of the batches.
    batch_size : int or None
    clients : int
    scheme : str
        How they learn.
    schedule : mapping
        The learning-rate schedule.
    tally : mapping
        The epoch's score so far.
    states : mapping of str to mapping of str to array
        Tier to its state: parameters, what the optimizer keeps, running statistics.
    """

    bundle: str
    step: int
    epoch: int
    place: int
    seed: int | None
    batch_size: int | None
    clients: int
    scheme: str
    schedule: Mapping[str, Any]
    tally: Mapping[str, Any]
    states: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


def check_folder(folder: Path) -> None:
    """See that a checkpoint can be written, before there is work to lose.

    Raises
    ------
    OutputError
        The folder holds something else, or can't be written.
    """
    target = folder.resolve()
    is_ours = (target / CHECKPOINT_FILE).is_file()
    if target.exists() and not is_ours and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{folder} is there and is no checkpoint; choose another folder.")
    with open_draft(target):
        pass


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; it replaces the one that is there, by rename.

    Raises
    ------
    OutputError
        The folder holds something else, or can't be written.
    """
    check_folder(folder)
    target = folder.resolve()
    with open_draft(target) as draft:
        files = {}
        for tier, state in checkpoint.states.items():
            name = f"{tier}.safetensors"
            save_state(draft / name, state, {"tier": tier, "step": str(checkpoint.step)})
            files[tier] = {"file": name, "sha256": _hash(draft / name)}
        document = {
            "schema": CHECKPOINT_SCHEMA,
            "bundle": checkpoint.bundle,
            "step": checkpoint.step,
            "epoch": checkpoint.epoch,
            "place": checkpoint.place,
            "seed": checkpoint.seed,
            "batch_size": checkpoint.batch_size,
            "clients": checkpoint.clients,
            "scheme": checkpoint.scheme,
            "schedule": dict(checkpoint.schedule),
            "tally": dict(checkpoint.tally),
            "states": files,
        }
        text = json.dumps(document, indent=2) + "\n"
        (draft / CHECKPOINT_FILE).write_text(text, encoding="utf-8", newline="\n")
        publish([(draft, target)])


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    BundleError
        There is none, or it is malformed.
    ManifestVersionError
        It was written by an unknown version.
    ChecksumMismatchError
        A file of it is not the one that was written.
    """
    path = folder / CHECKPOINT_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{folder} is no checkpoint: it has no {CHECKPOINT_FILE}.") from error
    except ValueError as error:
        raise BundleError(f"{path} is no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise BundleError(f"{path} is malformed: it holds no object.")
    if document.get("schema") != CHECKPOINT_SCHEMA:
        raise ManifestVersionError(
            f"{path} has the schema {document.get('schema')!r}; this version reads"
            f" {CHECKPOINT_SCHEMA!r}."
        )
    try:
        states = {tier: _read_state(folder, entry) for tier, entry in document["states"].items()}
        return Checkpoint(
            bundle=document["bundle"],
            step=int(document["step"]),
            epoch=int(document["epoch"]),
            place=int(document["place"]),
            seed=document["seed"],
            batch_size=document["batch_size"],
            clients=int(document.get("clients", 1)),
            scheme=str(document.get("scheme", "sequential")),
            schedule=dict(document["schedule"]),
            tally=dict(document["tally"]),
            states=states,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path} is malformed: {error}.") from error


def _read_state(folder: Path, entry: Mapping[str, str]) -> dict[str, Array]:
    """Read one half's state and check it."""
    name = Path(entry["file"]).name
    path = folder / name
    if not path.is_file():
        raise BundleError(f"The checkpoint {folder} has no file {name}.")
    if _hash(path) != entry["sha256"]:
        raise ChecksumMismatchError(f"{path} is not the file that the checkpoint describes.")
    return load_state(path)


def _hash(path: Path) -> str:
    """Return a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
