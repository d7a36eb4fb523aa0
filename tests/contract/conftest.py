import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from tests.contract.workshop import Command, Finished, Workshop, make_net, slow_down


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if "ONNXSPLIT" not in key}
    return {**inherited, "ONNXSPLIT_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def command(environment: dict[str, str]) -> Command:
    """Run the program in a process of its own, as people do."""

    def run(*arguments: object, folder: Path, **variables: str) -> Finished:
        finished = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "onnxsplit", *map(str, arguments)],
            capture_output=True,
            check=False,
            cwd=folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        return Finished(
            code=finished.returncode, out=finished.stdout.decode(), err=finished.stderr.decode()
        )

    return run


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    onnx.save(make_net(), folder / "net.onnx")
    profiled = command(
        "profile",
        "net.onnx",
        "-o",
        "server.json",
        "--budget",
        "1s",
        "--tier",
        "server",
        folder=folder,
    )
    assert profiled.code == 0, profiled.err
    slow_down(folder / "server.json", folder / "device.json", factor=20)
    empty = Workshop(folder=folder, cut=profiled)
    cut = command("cut", "net.onnx", *empty.cut_options(), "--format", "json", folder=folder)
    assert cut.code == 0, cut.err
    return Workshop(folder=folder, cut=cut)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that must be just as empty afterwards."""
    folder = tmp_path / "desk"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == [], "something was left behind"
