"""Repositories on disk: they appear whole, and replace none but their own kind."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsplit.deployment.services import Source
from onnxsplit.errors import OutputError
from onnxsplit.model.publication import check_place, open_draft, publish, translate_failures

EXPORT_SCHEMA = "onnxsplit.export/1"
LIST_FILE = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """What a repository shall hold.

    Parameters
    ----------
    texts : mapping of str to str
        File, with slashes, to its text.
    sources : mapping of str to (Path or bytes)
        Model file to the one that it is a copy of, or to its content.
    description : mapping
        What ``export.json`` tells beside the files: the engine and its models.
    """

    texts: Mapping[str, str]
    sources: Mapping[str, Source]
    description: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return ``export.json``."""
        files = sorted({*self.texts, *self.sources})
        return {"schema": EXPORT_SCHEMA, **self.description, "files": files}


def write_repository(
    folder: Path, repository: Repository, *, protected: Mapping[str, Path], force: bool = False
) -> None:
    """Write a repository; it appears whole, by rename, or not at all.

    Parameters
    ----------
    folder : Path
        A repository that was written before, and that nobody added to, is replaced whole;
        anything else only with ``force``.
    repository : Repository
    protected : mapping of str to Path
        What must not be replaced, by what it is called.
    force : bool

    Raises
    ------
    OutputError
        The folder is taken, or can't be written.
    """
    target = folder.resolve()
    check_place(target, folder, protected)
    if not force and not _may_replace(target):
        raise OutputError(
            f"{folder} is there already and is not a repository of ours alone;"
            " give --force to replace it whole, or choose another folder."
        )
    texts = {
        **repository.texts,
        LIST_FILE: json.dumps(repository.to_json(), indent=2) + "\n",
    }
    with open_draft(target) as draft:
        _write_models(draft, repository.sources)
        for name, text in texts.items():
            _make_room(draft / name).write_text(text, encoding="utf-8", newline="\n")
        publish([(draft, target)])


def _write_models(draft: Path, sources: Mapping[str, Source]) -> None:
    """Write models' files, each source once; models that share weights share them on disk."""
    made: dict[Path, Path] = {}
    for name, source in sources.items():
        place = _make_room(draft / name)
        if isinstance(source, bytes):
            place.write_bytes(source)
            continue
        try:
            place.hardlink_to(made[source])
        except (KeyError, OSError):
            shutil.copyfile(source, place)
            made[source] = place


def _make_room(path: Path) -> Path:
    """Make the folder that a file goes to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _may_replace(target: Path) -> bool:
    """Tell whether the place is free, or holds what `write_repository` wrote and nothing else."""
    if not target.exists():
        return True
    with translate_failures(target):
        found = {
            path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()
        }
        if not found:
            return True
        if LIST_FILE not in found:
            return False
        text = (target / LIST_FILE).read_text(encoding="utf-8", errors="replace")
    try:
        document = json.loads(text)
        is_ours = document["schema"] == EXPORT_SCHEMA
        return is_ours and found <= {LIST_FILE, *document["files"]}
    except (ValueError, KeyError, TypeError):
        return False
