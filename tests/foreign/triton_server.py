"""NVIDIA's ``tritonserver`` on an exported repository, until a test is done with it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.foreign.environment import FOLDER, find_port, find_python, wait_until_ready

STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonPorts:
    """Where it listens, on 127.0.0.1."""

    http: int
    grpc: int


@contextmanager
def run_triton(repository: Path, workplace: Path) -> Iterator[TritonPorts]:
    """Run the server; it loads every model, with its configuration as it stands.

    Parameters
    ----------
    repository : Path
        As exported; a copy is served, in which the Python backend stands in for the ONNX one.
    workplace : Path
        An empty folder for the copy, the backend and the log.
    """
    shutil.copytree(repository, workplace / "models")
    for config in (workplace / "models").glob("*/config.pbtxt"):
        text = config.read_text(encoding="utf-8")
        assert 'backend: "onnxruntime"' in text
        config.write_text(text.replace('"onnxruntime"', '"python"'), encoding="utf-8")
        shutil.copy(FOLDER / "python_backend.py", config.parent / "1" / "model.py")
    ports = TritonPorts(http=find_port(), grpc=find_port())
    log = workplace / "triton.log"
    with log.open("wb") as output:
        process = _start(workplace, ports, output.fileno())
        try:
            wait_until_ready(process, ports.http, log)
            yield ports
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()


def _start(workplace: Path, ports: TritonPorts, output: int) -> "subprocess.Popen[bytes]":
    """Start the server with a backend folder of our own."""
    python = find_python()
    question = (
        "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('platlib'),"
        " sysconfig.get_config_var('LIBDIR'), '%d.%d' % sys.version_info[:2]]))"
    )
    answer = subprocess.run(  # noqa: S603 - a fixed question
        [python, "-c", question], capture_output=True, check=True, text=True
    )
    packages, libraries, version = json.loads(answer.stdout)
    home = Path(packages) / "pytriton" / "tritonserver"
    backend = workplace / "backends" / "python"
    shutil.copytree(home / "backends" / "python", backend)
    shutil.copytree(home / "python_backend_stubs" / version, backend, dirs_exist_ok=True)
    paths = [f"{packages}/nvidia_pytriton.libs", libraries]
    return subprocess.Popen(  # noqa: S603 - a fixed command
        [
            home / "bin" / "tritonserver",
            f"--model-repository={workplace / 'models'}",
            f"--backend-directory={workplace / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name=onnxsplit-{ports.grpc}",
            "--disable-auto-complete-config",
            "--allow-metrics=false",
            *(f"--{protocol}-address=127.0.0.1" for protocol in ("http", "grpc")),
            f"--http-port={ports.http}",
            f"--grpc-port={ports.grpc}",
        ],
        stdout=output,
        stderr=output,
        # The backend takes the interpreter that PATH finds first; with another's numpy it would
        # answer with empty tensors.
        env={
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(paths),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": packages,
        },
    )
