"""ONNX Runtime's own format for small builds, and the list of operators that such a build needs."""

import subprocess
import sys
import tempfile
from pathlib import Path

from onnxsplit.engines.failures import extract_gist
from onnxsplit.errors import ModelError

_CONVERTER = "onnxruntime.tools.convert_onnx_models_to_ort"

_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).personality(0x0040000)
os.execv(sys.executable, [sys.executable, "-W", "ignore", "-m", *sys.argv[1:]])
"""
"""Starts a module at fixed addresses (ADDR_NO_RANDOMIZE, personality(2)), by which onnxruntime
orders what it writes. Where the system forbids that, files of the same model may differ."""

_LONGEST_SECONDS = 1800


def write_ort_format(model: Path, folder: Path, stem: str) -> tuple[str, str]:
    """Convert a model to onnxruntime's mobile format.

    Parameters
    ----------
    model : Path
        A ``.onnx`` file.
    folder : Path
        Where the files go.
    stem : str
        Of their names.

    Returns
    -------
    tuple of (str, str)
        Names of the model, ``<stem>.ort``, and of the list of operators that a reduced build
        needs, ``<stem>.required_operators.config``.

    Raises
    ------
    ModelError
        onnxruntime can't convert it.

    Notes
    -----
    The converter runs in a process of its own, for it prints, logs and leaves files open. On Linux
    the same model gives the same bytes, unless the system forbids fixed addresses.
    """
    with tempfile.TemporaryDirectory(prefix="onnxsplit-ort-") as place:
        command = [sys.executable, "-c", _LAUNCH, _CONVERTER, str(model)]
        command += ["--output_dir", place, "--optimization_style", "Fixed"]
        done = subprocess.run(  # noqa: S603 - our own interpreter, and a file that we wrote
            command, capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS
        )
        made, config = _find(Path(place), ".ort"), _find(Path(place), ".required_operators.config")
        if done.returncode or made is None or config is None:
            said = (done.stderr or done.stdout).strip().splitlines()
            gist = extract_gist(said[-1]) if said else "it does not say why"
            raise ModelError(f"onnxruntime can't write the stage in its .ort format: {gist}.")
        names = f"{stem}.ort", f"{stem}.required_operators.config"
        (folder / names[0]).write_bytes(made.read_bytes())
        (folder / names[1]).write_text(_clean(config, names[0]), encoding="utf-8", newline="\n")
    return names


def _find(folder: Path, suffix: str) -> Path | None:
    """Return the one file of a folder with this ending."""
    return next((path for path in folder.iterdir() if path.name.endswith(suffix)), None)


def _clean(config: Path, model: str) -> str:
    """Return the list of operators with the model's name in the place of where it lay."""
    lines = config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    return "\n".join((f"# Generated from {model}", *kept)) + "\n"
