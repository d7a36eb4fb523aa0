"""Write a well-known network with random weights, such as ``samples/make.py resnet50``."""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from onnxsplit.errors import OnnxSplitError
from samples.networks import NAMES, build


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Write a well-known network with random weights.")
    parser.add_argument("network", nargs="?", choices=NAMES, metavar="NETWORK")
    parser.add_argument("-o", "--output", type=Path, help="file; NETWORK.onnx if not given")
    parser.add_argument("--list", action="store_true", help="list the networks and end")
    parser.add_argument("--batch", type=_dim, default=1, help="a number, or a symbolic dim's name")
    parser.add_argument("--dynamic-batch", action="store_true", help="a symbolic dim 'batch'")
    parser.add_argument("--image-size", type=int, help="height and width")
    parser.add_argument("--sequence-length", type=_dim, help="tokens of a transformer")
    parser.add_argument(
        "--past-length", type=_dim, help="tokens in a decoder's key-value cache, or a dim's name"
    )
    parser.add_argument("--dynamic-sequence", action="store_true", help="a dim 'sequence'")
    parser.add_argument("--width", type=float, default=1.0, help="factor on channels")
    parser.add_argument("--depth", type=float, default=1.0, help="factor on repeated blocks")
    parser.add_argument("--classes", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(arguments)
    if not parsed.list and parsed.network is None:
        parser.error(f"name a network: {', '.join(NAMES)}")
    return parsed


def main(arguments: list[str]) -> int:
    """Write the network that the command line names."""
    parsed = parse_arguments(arguments)
    if parsed.list:
        print("\n".join(NAMES))
        return 0
    try:
        model = build(
            parsed.network,
            batch="batch" if parsed.dynamic_batch else parsed.batch,
            image_size=parsed.image_size,
            sequence_length="sequence" if parsed.dynamic_sequence else parsed.sequence_length,
            past_length=parsed.past_length,
            width=parsed.width,
            depth=parsed.depth,
            classes=parsed.classes,
            seed=parsed.seed,
        )
    except OnnxSplitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    output: Path = parsed.output or Path(f"{parsed.network}.onnx")
    draft = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(model.SerializeToString(deterministic=True))
        draft.replace(output)
    except OSError as error:
        draft.unlink(missing_ok=True)
        print(f"{output} can't be written: {error.strerror}.", file=sys.stderr)
        return 2
    print(f"{output}: {len(model.graph.node)} operators, {output.stat().st_size / 1e6:.1f} MB")
    return 0


def _dim(text: str) -> int | str:
    """Read a size, or a symbolic dim's name."""
    try:
        return int(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
