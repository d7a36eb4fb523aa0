"""Environments of foreign programs, whose pins clash with ours; ``.ci/run`` makes them.

``FOREIGN_ENVIRONMENT`` names a virtual environment with NVIDIA's client and server, made by
``pip install -r tests/foreign/requirements.txt``, ``FOREIGN_RAY`` one with Ray Serve and our
own dependencies, made by ``pip install "ray[serve]" ".[serve]"``, and ``FOREIGN_FLOWER`` one with
Flower, made by ``pip install ".[flower,serve,train]"``.
"""

import http.client
import json
import os
import socket
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

NVIDIA = "FOREIGN_ENVIRONMENT"
RAY = "FOREIGN_RAY"
FLOWER = "FOREIGN_FLOWER"
START_SECONDS = 120.0
FOLDER = Path(__file__).parent


class ServerRefusedError(AssertionError):
    """A server did not start, or did not load what it was given; the message is its log."""


def find_python(variable: str = NVIDIA) -> Path:
    """Return an environment's interpreter; skips the test where none is named."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} names no environment with the foreign programs in it")
    python = Path(folder) / "bin" / "python"
    assert python.is_file(), f"{variable} is {folder}, and {python} is not there"
    return python


def run_program(name: str, *arguments: object, text: str = "", variable: str = NVIDIA) -> Any:  # noqa: ANN401 - JSON
    """Run a program of this folder in an environment; return the JSON that it prints."""
    finished = subprocess.run(  # noqa: S603 - our own programs
        [find_python(variable), FOLDER / name, *map(str, arguments)],
        capture_output=True,
        check=False,
        input=text,
        text=True,
        timeout=300,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until a server that was started says that it is ready; show its log if it ends."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/v2/health/ready")
            with connection.getresponse() as response:
                if response.status == http.client.OK:
                    return
        time.sleep(0.2)
    raise ServerRefusedError(log.read_text(encoding="utf-8", errors="replace")[-30000:])
