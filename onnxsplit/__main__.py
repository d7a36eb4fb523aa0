"""``python -m onnxsplit`` and the program ``onnxsplit``."""

import sys

from onnxsplit.cli.application import run
from onnxsplit.cli.streams import claim_stdout, flush_stdout


def main() -> int:
    """Run the command line of this process and return its exit code."""
    claim_stdout()
    try:
        return run(sys.argv[1:])
    finally:
        flush_stdout()


if __name__ == "__main__":
    sys.exit(main())
