"""Flower's SuperLink and SuperNodes on this machine, in an environment of their own."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.foreign.environment import FLOWER, find_port, find_python

ROOT = Path(__file__).parents[2]
APP = ROOT / "samples" / "flower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """A SuperLink with its nodes.

    Parameters
    ----------
    programs : Path
        Flower's.
    environment : mapping of str to str
    """

    programs: Path
    environment: Mapping[str, str]

    def run(self, configuration: Mapping[str, object], *, seconds: float) -> str:
        """Run the sample's apps to their end; return what was logged."""
        words = " ".join(
            f"{key}={value}" if isinstance(value, int | float) else f'{key}="{value}"'
            for key, value in configuration.items()
        )
        command = [self.programs / "flwr", "run", APP, "here", "--run-config", words, "--stream"]
        finished = subprocess.run(  # noqa: S603 - Flower's own program
            [*map(str, command)],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return finished.stdout + finished.stderr


@contextmanager
def federate(folder: Path, clients: int) -> Iterator[Federation]:
    """Start a SuperLink and a node for each client, and end them."""
    programs = find_python(FLOWER).parent
    port, *own = (find_port() for _ in range(clients + 1))
    (folder / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n"
    )
    environment = {
        **os.environ,
        "FLWR_HOME": str(folder),
        "FLWR_TELEMETRY_ENABLED": "0",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    link = ["flower-superlink", "--insecure", "--disable-runtime-dependency-installation"]
    link += ["--host", "127.0.0.1", "--port", str(port)]
    with ExitStack() as stack:
        stack.enter_context(_start(programs, link, environment, folder / "link.log"))
        _wait_for(port)
        for client, place in enumerate(own):
            node = ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}"]
            node += ["--port", str(place), "--node-config", f"client={client}"]
            log = folder / f"node-{client}.log"
            stack.enter_context(_start(programs, node, environment, log))
        yield Federation(programs=programs, environment=environment)


@contextmanager
def _start(
    programs: Path, command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator[None]:
    """Start a program that writes to a log, and end it."""
    with log.open("w") as file:
        process = subprocess.Popen(  # noqa: S603 - Flower's own programs
            [str(programs / command[0]), *command[1:]],
            env=dict(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, seconds: float = 60.0) -> None:
    """Wait until something listens on a port."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return
