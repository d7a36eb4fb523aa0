"""The environment of foreign programs: NVIDIA's client and server, whose pins clash with ours.

``FOREIGN_ENVIRONMENT`` names a virtual environment of the Python that tests run on, made by
``pip install -r tests/foreign/requirements.txt``; ``.ci/run`` makes one.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "FOREIGN_ENVIRONMENT"
FOLDER = Path(__file__).parent


def find_python() -> Path:
    """Return the environment's interpreter; skips the test where no environment is named."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no environment with tests/foreign/requirements.txt in it")
    python = Path(folder) / "bin" / "python"
    assert python.is_file(), f"{VARIABLE} is {folder}, and {python} is not there"
    return python


def run_program(name: str, *arguments: object, text: str = "") -> Any:  # noqa: ANN401 - JSON
    """Run a program of this folder in the environment; return the JSON that it prints."""
    finished = subprocess.run(  # noqa: S603 - our own programs
        [find_python(), FOLDER / name, *map(str, arguments)],
        capture_output=True,
        check=False,
        input=text,
        text=True,
        timeout=300,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
