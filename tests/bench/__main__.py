"""``python -m tests.bench NAME [options]``: measure, and print JSON."""

import importlib
import sys

BENCHES = {
    "solve": "tests.bench.solving",
    "carve": "tests.bench.carving",
    "startup": "tests.bench.startup",
    "fidelity": "tests.bench.fidelity",
    "runtime": "tests.bench.runtime",
    "pipeline": "tests.bench.pipelining",
    "training": "tests.bench.training",
    "backward": "tests.bench.backward",
    "delay": "tests.bench.delay",
    "simulate": "tests.bench.simulating",
}


def main() -> int:
    """Run one bench by name."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHES:
        sys.stderr.write(f"usage: python -m tests.bench {{{'|'.join(BENCHES)}}} [options]\n")
        return 2
    bench = importlib.import_module(BENCHES[sys.argv[1]])
    bench.main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
