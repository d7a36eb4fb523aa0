import json
import subprocess
import sys

import pytest

HEAVY = ("onnx", "onnx_graphsurgeon", "onnxruntime", "numpy", "scipy", "networkx")
SCRIPT = f"""
import json, sys
sys.argv = ["onnxsplit", *sys.argv[1:]]
from onnxsplit.__main__ import main
code = main()
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps([code, loaded]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "line", ["--help", "--version", "cut --help", "plan --help", "merge --help", "cut --no-such"]
)
def test_help_and_usage_load_no_heavy_package(line: str) -> None:
    finished = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", SCRIPT, *line.split()], capture_output=True, text=True, check=True
    )
    code, loaded = json.loads(finished.stderr.splitlines()[-1])
    assert loaded == []
    assert code == (2 if "no-such" in line else 0)
    assert ("Usage:" in finished.stdout) == line.endswith("--help")


INTERRUPTED_IMPORT = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
from onnxsplit.__main__ import main
sys.exit(main())
"""


def test_an_interrupt_while_the_program_loads_ends_it_with_one_line() -> None:
    finished = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (130, "")
    assert finished.stderr == "error: Interrupted.\n"
