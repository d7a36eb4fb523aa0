"""``merge``: put a bundle's stages back together."""

import os
from pathlib import Path

from onnxsplit.model.bundle import read_bundle
from onnxsplit.model.merging import merge_stages
from onnxsplit.model.saving import save_model
from onnxsplit.progress import Progress, SilentProgress


def merge(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Merge a bundle's stages into one model.

    Parameters
    ----------
    folder : path
        What `cut` wrote.
    output : path
        Where to write the model.
    force : bool
        Replace files that are there.
    progress : Progress, optional

    Returns
    -------
    Path
        The model: the original's operators, inputs and outputs, without what carving dropped.

    Raises
    ------
    BundleError
        The bundle is malformed, or a file is not the one that was written.
    OutputError
        The file is there already, or can't be written.
    """
    progress = progress or SilentProgress()
    progress.report("merging")
    bundle = read_bundle(Path(folder))
    merged = merge_stages(bundle.folder, bundle.manifest)
    save_model(merged, Path(output), base_folder=bundle.folder, force=force)
    return Path(output)
