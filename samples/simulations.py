"""Simulate several networks over bands and states of the links, and print one table.

``samples/simulations.py FOLDER`` takes every NAME.onnx of a folder that has a NAME.json beside it,
the profile that ``onnxsplit profile`` wrote.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnxsplit as osp
from onnxsplit.errors import OnnxSplitError
from onnxsplit.units import format_duration

SCENARIO = Path(__file__).with_name("scenarios") / "split-learning.toml"
BANDS = ("n78", "n257")
STATES = ("good", "normal", "poor")
BASELINES = ("device-only", "server-only", "oss", "regression", "chain", "qdmp", "dads")


def main(arguments: list[str]) -> int:
    """Print a table for the models of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenario", type=Path, default=SCENARIO)
    parser.add_argument("--pattern", default="*", help="which names, such as '*-b32'")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parsed = parser.parse_args(arguments)
    titles = ("model", "band", "state", "an epoch takes", *BASELINES)
    print("| " + " | ".join(titles) + " |")
    print("|---|---|---|" + "---:|" * (len(titles) - 3))
    try:
        for row in list_rows(parsed.folder, parsed.pattern, parsed.scenario, parsed.set):
            print("| " + " | ".join(row) + " |", flush=True)
    except OnnxSplitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def list_rows(
    folder: Path, pattern: str, scenario: Path, overrides: list[str]
) -> Iterator[tuple[str, ...]]:
    """Yield a row for every model, band and state."""
    for profile in sorted(folder.glob(f"{pattern}.json")):
        model = profile.with_suffix(".onnx")
        for band, state in product(BANDS, STATES):
            result = osp.simulate(
                scenario,
                overrides=[
                    f"model.file={model}",
                    f"model.profile={profile}",
                    f"channel.band={band}",
                    f"channel.state={state}",
                    *overrides,
                ],
            )
            yield (model.stem, band, state, *_word(result))


def _word(result: osp.SimulationResult) -> Iterator[str]:
    """Yield what ours takes, and by how many percent it is below each baseline."""
    epochs = result.time_epochs(result.lead)
    yield format_duration(float(epochs.mean()))
    known = {outcome.name: outcome for outcome in result.outcomes}
    for name in BASELINES:
        if name not in known:
            yield "-"
            continue
        share = result.reduce(result.lead, known[name])
        yield f"{100 * share.mean:.1f} ± {100 * (share.half_width or 0.0):.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
