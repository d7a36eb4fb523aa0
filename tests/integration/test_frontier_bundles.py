"""Bundles of every cut: each is best where it says so, each equals the model, weights lie once."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import onnxsplit as osp
from onnxsplit.errors import ChecksumMismatchError, UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import read_bundle
from onnxsplit.model.shared_bundle import WEIGHTS_FILE
from onnxsplit.objectives import Energy
from onnxsplit.reporting.schemas import load_schema
from onnxsplit.tiers import Link
from tests.sample_graphs import draw_costs, read_sample

MODEL = Path(__file__).parents[2] / "samples" / "squeezenet.onnx"
LINK = Link(up_bytes_per_second=2.5e6, down_bytes_per_second=5e6, round_trip_seconds=0.01)


def slow_down(profile: osp.Profile, factor: float) -> osp.Profile:
    groups = tuple(replace(g, seconds=g.seconds * factor) for g in profile.groups)
    return replace(profile, groups=groups)


PROFILES = {
    tier: slow_down(profile, 25) for tier, profile in draw_costs(read_sample("squeezenet")).items()
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> osp.Bundle:
    return cut_all(tmp_path_factory.mktemp("frontier") / "s.split")


def cut_all(folder: Path, *, allow_whole: bool = False, verify: bool = True) -> osp.Bundle:
    return osp.cut(
        MODEL,
        folder,
        device=PROFILES["device"],
        server=PROFILES["server"],
        link=LINK,
        frontier=True,
        allow_whole=allow_whole,
        verify=verify,
        batches=1,
    )


def make_link(rate: float) -> Link:
    return Link(up_bytes_per_second=rate, down_bytes_per_second=2 * rate, round_trip_seconds=0.01)


def predict(manifest: Manifest, rate: float) -> dict[str, float]:
    return {
        cut.id: cut.predict_seconds(
            up_bytes_per_second=rate, down_bytes_per_second=2 * rate, round_trip_seconds=0.01
        )
        for cut in manifest.cuts
    }


def list_rates(manifest: Manifest) -> list[float]:
    ends = [cut.to_bytes_per_second for cut in manifest.cuts[:-1]]
    near = [end * factor for end in ends for factor in (0.98, 1.02)]
    return [*near, *np.geomspace(1e3, 1e9, 12).tolist()]


def test_at_every_rate_the_cheapest_cut_is_what_a_plan_for_that_rate_finds(
    bundle: osp.Bundle,
) -> None:
    verdicts = set()
    for rate in list_rates(bundle.manifest):
        split, whole = (
            osp.plan(
                MODEL,
                device=PROFILES["device"],
                server=PROFILES["server"],
                link=make_link(rate),
                require_split=require_split,
            )
            for require_split in (True, False)
        )
        best = min(split.predicted.total_seconds, whole.baselines["all-device"])
        found = predict(bundle.manifest, rate)
        assert min(found.values()) == pytest.approx(best, rel=1e-6)
        verdicts.add(min(found, key=lambda name: found[name]))
    assert verdicts == {cut.id for cut in bundle.manifest.cuts}
    assert len(verdicts) >= 3


def test_stretches_follow_each_other_and_each_cut_is_cheapest_on_its_own(
    bundle: osp.Bundle,
) -> None:
    cuts = bundle.manifest.cuts
    assert cuts[0].id == "all-device"
    assert cuts[0].from_bytes_per_second == 0
    assert cuts[-1].to_bytes_per_second == math.inf
    for slower, faster in pairwise(cuts):
        assert slower.to_bytes_per_second == faster.from_bytes_per_second
    for cut in cuts:
        low, high = max(cut.from_bytes_per_second, 1e3), min(cut.to_bytes_per_second, 1e12)
        found = predict(bundle.manifest, math.sqrt(low * high))
        assert min(found, key=lambda name: found[name]) == cut.id


def test_weights_lie_on_disk_once(bundle: osp.Bundle) -> None:
    stored = sum(path.stat().st_size for path in bundle.folder.iterdir())
    stages = sum(path.stat().st_size for path in bundle.folder.glob("*.onnx"))
    assert len(bundle.manifest.cuts) >= 4
    assert stored < 1.15 * MODEL.stat().st_size
    assert stages < 0.1 * MODEL.stat().st_size


def test_every_cut_is_verified_when_it_is_written_and_again_by_verify(bundle: osp.Bundle) -> None:
    assert bundle.parity is not None
    assert bundle.parity.passed
    for cut in bundle.manifest.cuts:
        assert cut.parity is not None
        assert cut.parity["bit_equal"]
    result = osp.verify(bundle.folder, model=MODEL, batches=1)
    assert result.bit_equal
    assert all(cut.id in result.notes[0] for cut in bundle.manifest.cuts)


def test_each_cut_reads_as_a_bundle_of_its_own(bundle: osp.Bundle) -> None:
    manifest = read_bundle(bundle.folder).manifest
    assert manifest == bundle.manifest
    for cut in manifest.cuts:
        alone = manifest.at_cut(cut.id)
        assert alone.stages == cut.stages
        assert not alone.cuts
        tiers = [stage.tier for stage in alone.stages]
        assert tiers == (["device"] if cut.id == "all-device" else ["device", "server"])
    with pytest.raises(UsageError, match=r"no cut 'cut-99'.*cut-1"):
        manifest.at_cut("cut-99")


def test_a_changed_weight_is_found_in_whatever_cut_it_lies(
    bundle: osp.Bundle, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in bundle.folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    weights = bytearray((copied / WEIGHTS_FILE).read_bytes())
    weights[-100] ^= 1
    (copied / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(ChecksumMismatchError, match=r"weights\.data"):
        osp.verify(copied, batches=1)


def test_a_cut_that_lacks_its_server_half_fails_verification(
    bundle: osp.Bundle, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in bundle.folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    document = json.loads((copied / "split.json").read_text())
    wrong = next(cut for cut in document["cuts"] if cut["id"] == "cut-1")
    wrong["stages"] = wrong["stages"][:1]
    (copied / "split.json").write_text(json.dumps(document))
    with pytest.raises(osp.OnnxSplitError, match="Nothing gives the value"):
        osp.verify(copied, model=MODEL, batches=1)


def test_the_manifest_keeps_to_its_schema(bundle: osp.Bundle) -> None:
    document = json.loads((bundle.folder / "split.json").read_text())
    jsonschema.validate(document, load_schema("bundle"))
    del document["cuts"][0]["cost"]
    with pytest.raises(jsonschema.ValidationError, match="cost"):
        jsonschema.validate(document, load_schema("bundle"))


def test_merging_gives_the_model_back(bundle: osp.Bundle, tmp_path: Path) -> None:
    osp.merge(bundle.folder, tmp_path / "merged.onnx")
    result = osp.verify(bundle.folder, model=tmp_path / "merged.onnx", batches=1)
    assert result.bit_equal


def test_the_same_cuts_give_the_same_bytes(bundle: osp.Bundle, tmp_path: Path) -> None:
    again = cut_all(tmp_path / "again")
    names = sorted(path.name for path in bundle.folder.iterdir())
    assert names == sorted(path.name for path in again.folder.iterdir())
    for name in names:
        assert (bundle.folder / name).read_bytes() == (again.folder / name).read_bytes()


def test_a_bundle_of_the_same_model_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "s.split"
    cut_all(folder, verify=False)
    osp.cut(
        MODEL, folder, device=PROFILES["device"], server=PROFILES["server"], link=LINK, verify=False
    )
    names = {path.name for path in folder.iterdir()}
    assert names == {"device.onnx", "server.onnx", "split.json"}


def test_whole_models_are_kept_on_the_server_only_where_that_is_allowed(tmp_path: Path) -> None:
    wide = cut_all(tmp_path / "wide", allow_whole=True, verify=False)
    assert wide.manifest.cuts[-1].id == "all-server"
    assert [stage.tier for stage in wide.manifest.cuts[-1].stages] == ["server"]


@pytest.mark.parametrize(
    ("wish", "flag"),
    [
        ({"cut_at": ["logits"]}, "--cut-at"),
        ({"measure": 2}, "--measure"),
        ({"boundary": "fp16"}, "--boundary"),
        ({"objective": Energy()}, "--objective energy"),
    ],
)
def test_what_is_for_a_single_cut_is_refused(
    wish: dict[str, object], flag: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=flag):
        osp.cut(MODEL, tmp_path / "s", frontier=True, **wish)  # type: ignore[arg-type] # parametrized
