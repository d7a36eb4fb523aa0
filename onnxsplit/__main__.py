"""``python -m onnxsplit`` and the program ``onnxsplit``."""

import sys


def main() -> int:
    """Run the command line of this process and return its exit code."""
    try:
        # Loading the command line takes a while, and an interrupt may come meanwhile.
        from onnxsplit.cli.application import run  # noqa: PLC0415 - as said above
        from onnxsplit.cli.streams import claim_stdout, flush_stdout  # noqa: PLC0415 - likewise
    except KeyboardInterrupt:
        sys.stderr.write("error: Interrupted.\n")
        return 130
    claim_stdout()
    try:
        return run(sys.argv[1:])
    finally:
        flush_stdout()


if __name__ == "__main__":
    sys.exit(main())
