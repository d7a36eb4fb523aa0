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
