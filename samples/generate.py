"""Generate tokens with a decoder split over two processes, and hold them against the whole model.

``python samples/generate.py --tokens 16`` makes a small GPT-2 with random weights, cuts it in its
middle, serves the second half in a process of its own and generates with the first half here. Each
half keeps the cache of its own layers, so that one small tensor travels for each token.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnxsplit as osp
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Session, Value
from samples.networks import build

CUT_AT = "h0/add2:0"
STATE = "past_key_values.*=present.*"
PROMPT = (5, 9, 2)

Tokens = npt.NDArray[np.int64]


def make_decoder() -> onnx.ModelProto:
    """Make a GPT-2 of two narrow layers with a cache."""
    return build(
        "gpt2", sequence_length="sequence", past_length="past", width=1 / 6, depth=1 / 6, seed=3
    )


def cut_decoder(model: onnx.ModelProto, folder: Path) -> Path:
    """Cut it between its layers; it is planned for a prompt and for single tokens."""
    bundle = osp.cut(
        model,
        folder / "decoder.split",
        cut_at=[CUT_AT],
        state=[STATE],
        mix=[({"sequence": 3, "past": 0}, 1.0), ({"sequence": 1, "past": 8}, 8.0)],
        measure=0,
    )
    return bundle.folder


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the second half in a process of its own, and give its URL."""
    command = [sys.executable, "-m", "onnxsplit", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen([*command, "--format", "json"], stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
    try:
        yield _read_url(process)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def generate_split(folder: Path, url: str, prompt: Sequence[int], count: int) -> list[int]:
    """Generate greedily with both halves, and say what travels."""
    tokens, made = np.array([prompt], np.int64), []
    with osp.connect(folder, url) as half:
        for step in range(count):
            flags = {
                "sequence_id": 1,
                "sequence_start": step == 0,
                "sequence_end": step == count - 1,
            }
            feeds = _feed(tokens, len(prompt) + step - 1 if step else 0)
            result = half.run(feeds, parameters=flags)
            tokens = _choose(result.outputs["logits"])
            made.append(int(tokens[0, 0]))
            trace = result.trace
            print(
                f"token {made[-1]:5d}: {trace.sent_bytes} bytes up, {trace.received_bytes} down,"
                f" {1e3 * trace.total_seconds:.1f} ms"
            )
    return made


def generate_whole(model: onnx.ModelProto, prompt: Sequence[int], count: int) -> list[int]:
    """Generate greedily with the whole model, handing its caches on here."""
    session: Session = open_session(model.SerializeToString(), EngineOptions(threads=1))
    caches: dict[str, Value] = {
        spec.name: np.zeros([d if isinstance(d, int) else 0 for d in spec.shape or ()], np.float32)
        for spec in session.inputs
        if spec.name.startswith("past")
    }
    tokens, made = np.array([prompt], np.int64), []
    with session:
        for step in range(count):
            feeds = _feed(tokens, len(prompt) + step - 1 if step else 0)
            outputs = session.run({**feeds, **caches})
            caches = {name: outputs[name.replace("past_key_values", "present")] for name in caches}
            tokens = _choose(np.asarray(outputs["logits"]))
            made.append(int(tokens[0, 0]))
    return made


def main(arguments: Sequence[str]) -> int:
    """Generate both ways, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=16, metavar="N")
    count: int = parser.parse_args(arguments).tokens
    model = make_decoder()
    with tempfile.TemporaryDirectory() as folder:
        cut = cut_decoder(model, Path(folder))
        with serve(cut) as url:
            split = generate_split(cut, url, PROMPT, count)
    whole = generate_whole(model, PROMPT, count)
    print(f"split: {split}\nwhole: {whole}\n{'equal' if split == whole else 'DIFFERENT'}")
    return 0 if split == whole else 1


def _feed(tokens: Tokens, position: int) -> Mapping[str, Tokens]:
    """Return tokens with their places."""
    places = position + np.arange(tokens.shape[1], dtype=np.int64)[None]
    return {"input_ids": tokens, "position_ids": places}


def _choose(logits: npt.NDArray[np.float32]) -> Tokens:
    """Choose the likeliest next token."""
    return np.asarray(logits[:, -1:].argmax(axis=-1), np.int64)


def _read_url(process: "subprocess.Popen[str]") -> str:
    """Wait until the server says where it listens."""
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("the server ended before it listened")
    url: str = json.loads(line)["url"]
    return url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
