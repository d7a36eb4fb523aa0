"""Files and folders that appear whole, by rename, or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from onnxsplit.errors import OutputError


def check_place(target: Path, folder: Path, sources: Mapping[str, Path]) -> None:
    """Refuse places where a whole folder must never be replaced.

    Parameters
    ----------
    target : Path
        The place, resolved.
    folder : Path
        The place as it was given.
    sources : mapping of str to Path
        What must stay, beside the current and the home folder, by what it is called.

    Raises
    ------
    OutputError
        The place is a file, or is or holds one of these.
    """
    if target.exists() and not target.is_dir():
        raise OutputError(f"{folder} is a file; choose another folder.")
    protected = {"the current folder": Path.cwd(), "the home folder": Path.home(), **sources}
    for name, path in protected.items():
        inner = path.resolve()
        if inner.is_relative_to(target):
            relation = "is" if inner == target else "holds"
            raise OutputError(f"{folder} {relation} {name}; choose another folder.")


@contextmanager
def open_draft(target: Path) -> Iterator[Path]:
    """Make an empty folder beside a target, to write into, and remove it in the end.

    Parameters
    ----------
    target : Path
        What will be published; folders above it are made, and removed again if that fails.

    Raises
    ------
    OutputError
        The disk is full, access is denied, or writing fails otherwise.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        with translate_failures(target):
            draft.mkdir(parents=True)
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # it is not empty: the target has appeared
                folder.rmdir()


def publish(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename drafts to their final places, replacing what is there; all of them or none.

    Parameters
    ----------
    pairs : sequence of (Path, Path)
        A draft, and its final place in a folder of the same file system.

    Raises
    ------
    OSError
        A rename fails. Then, and when interrupted, everything is as it was before.
    """
    replaced = [(final, _keep_name(final)) for _, final in pairs]
    try:
        for (draft, final), (_, kept) in zip(pairs, replaced, strict=True):
            if final.exists():
                final.rename(kept)
            draft.rename(final)
    except BaseException:
        for (draft, final), (_, kept) in zip(pairs, replaced, strict=True):
            _undo(draft, final, kept)
        raise
    for _, kept in replaced:
        _remove(kept)


@contextmanager
def translate_failures(target: Path | str) -> Iterator[None]:
    """Turn what the operating system says into one sentence about the target.

    Parameters
    ----------
    target : path or str
        What is written, as the sentence begins.

    Raises
    ------
    OutputError
        Writing failed.
    """
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EACCES: "permission denied",
            errno.EPERM: "permission denied",
            errno.EROFS: "the file system is read-only",
        }.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"{target} can't be written: {reason}.") from error


def _keep_name(final: Path) -> Path:
    """Return where something is kept while it is being replaced."""
    return final.with_name(f".{final.name}.{os.getpid()}.old")


def _undo(draft: Path, final: Path, kept: Path) -> None:
    """Bring back what was there; the state of the disk tells how far the renames came."""
    if not draft.exists():
        final.rename(draft)
    if kept.exists():
        kept.rename(final)


def _remove(kept: Path) -> None:
    """Remove what was replaced, to the end even if interrupted."""
    try:
        _delete(kept)
    except BaseException:
        with suppress(OSError):
            _delete(kept)
        raise


def _delete(path: Path) -> None:
    """Delete a file or a folder with all it holds, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
