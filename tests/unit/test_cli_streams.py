import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onnxsplit.cli.streams import divert_stdout, write_result
from onnxsplit.errors import OutputError

NOISY = """
import ctypes, os, sys
from onnxsplit.cli.streams import claim_stdout, divert_stdout, flush_stdout, write_result
claim_stdout()
libc = ctypes.CDLL(None)
with divert_stdout():
    print("python talks")
    os.write(1, b"descriptor talks\\n")
    libc.puts(b"native code talks")
write_result('{"result": "caf\\u00e9"}')
os.write(1, b"descriptor talks again\\n")
libc.puts(b"native code talks again")
flush_stdout()
"""


def run_script(script: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="ctypes.CDLL(None) is POSIX")
def test_only_the_result_reaches_stdout_whoever_writes() -> None:
    finished = run_script(NOISY, PYTHONIOENCODING="utf-8")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {"result": "caf\u00e9"}
    for talk in ("python", "descriptor", "native code", "descriptor talks again"):
        assert talk.encode() in finished.stderr


def test_a_name_that_the_terminal_cannot_show_is_escaped() -> None:
    script = "from onnxsplit.cli.streams import *\nclaim_stdout()\nwrite_result('tensor \\u4e2d')\n"
    finished = run_script(script, PYTHONIOENCODING="ascii")
    assert finished.stdout.strip() == b"tensor \\u4e2d"


def test_a_reader_that_left_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        write_result("far too late")
        write_result("and again")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OutputError, match="No space left"):
            write_result("x" * 100_000)


def test_without_stdout_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    write_result("nobody listens")


def test_python_output_goes_to_stderr_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    with divert_stdout():
        print("talk")  # noqa: T201 - what libraries do
    print("result")  # noqa: T201 - likewise
    assert capsys.readouterr() == ("result\n", "talk\n")


@pytest.mark.parametrize(("closed", "expected"), [(">&-", b""), ("2>&-", b"result\n")])
@pytest.mark.skipif(sys.platform == "win32", reason="closing streams is the shell's, on POSIX")
def test_a_closed_stdout_or_stderr_stops_nothing(
    tmp_path: Path, closed: str, expected: bytes
) -> None:
    victim = tmp_path / "victim.txt"
    script = (
        "import os\n"
        "from onnxsplit.cli.streams import *\n"
        "claim_stdout()\n"
        f"file = open({str(victim)!r}, 'w')\n"
        "os.write(1, b'talk')\n"
        "os.write(2, b'talk')\n"
        "write_result('result')\n"
        "flush_stdout()\n"
    )
    finished = subprocess.run(  # noqa: S603 - our own interpreter and script
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script],
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, expected)
    assert victim.read_bytes() == b""
