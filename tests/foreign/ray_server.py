"""Ray Serve on an exported repository, until a test is done with it."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.foreign.environment import RAY, find_port, find_python, wait_until_ready

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60.0


@contextmanager
def run_ray(repository: Path, workplace: Path) -> Iterator[int]:
    """Run ``serve run`` as the repository's README says, on a port that is free; yields the port.

    Parameters
    ----------
    repository : Path
        As exported; a copy is served.
    workplace : Path
        An empty folder for the copy and the log.
    """
    folder = workplace / "repository"
    shutil.copytree(repository, folder)
    port = find_port()
    config = folder / "serve_config.yaml"
    text = config.read_text(encoding="utf-8")
    assert "  port: 8000\n" in text
    config.write_text(text.replace("  port: 8000\n", f"  port: {port}\n"), encoding="utf-8")
    log = workplace / "ray.log"
    # A cluster of its own, known by this folder; its sockets want a short path.
    with tempfile.TemporaryDirectory(prefix="ray") as home, log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command
            [find_python(RAY).with_name("serve"), "run", config.name],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
                "PYTHONPATH": f"{ROOT}:{folder}",
                "PYTHONWARNINGS": "ignore",
                "RAY_TMPDIR": home,
                "RAY_USAGE_STATS_ENABLED": "0",
            },
        )
        try:
            wait_until_ready(process, port, log)
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
