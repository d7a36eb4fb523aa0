"""Candidates measured for real: here, and by the times that targets send back."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

import onnxsplit as osp
from onnxsplit.errors import ProfileMismatchError, UsageError
from onnxsplit.objectives import Energy, Power
from onnxsplit.profiling.storage import read_timings, write_timings
from onnxsplit.workflows import measuring
from samples.networks import build_reduced

LINK = osp.Link.parse("20 Mbit/s", rtt="1 ms")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXSPLIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(build_reduced("squeezenet"), path)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure briefly: how long is not what these tests are about."""
    monkeypatch.setattr(measuring, "StopRule", lambda **_: measuring_rule())


def measuring_rule() -> Any:  # noqa: ANN401 - a StopRule
    from onnxsplit.profiling.sampling import StopRule  # noqa: PLC0415 - the replaced name

    return StopRule(most_runs=6)


def _cut(model: Path, folder: Path, **options: Any) -> osp.Bundle:  # noqa: ANN401 - options of several types
    return osp.cut(model, folder, link=LINK, threads=1, batches=1, **options)


@pytest.mark.usefixtures("quick")
def test_cut_measures_three_candidates_where_both_tiers_are_here(
    model: Path, tmp_path: Path
) -> None:
    bundle = _cut(model, tmp_path / "one", device="local:0.1")
    measured = bundle.plan.measured
    assert len(measured) == 3
    crossings = {tuple(c.tensor for c in candidate.crossings) for candidate in measured}
    assert len(crossings) == 3
    (chosen,) = [candidate for candidate in measured if candidate.is_chosen]
    assert chosen.placement == bundle.plan.placement
    fastest = min(measured, key=lambda entry: entry.corrected_seconds)
    assert chosen.corrected_seconds - fastest.corrected_seconds <= (
        chosen.uncertainty_seconds + fastest.uncertainty_seconds
    )
    for candidate in measured:
        assert candidate.placement.is_proper
        assert candidate.measured_seconds == candidate.corrected_seconds
        assert [stage.evidence for stage in candidate.stages] == ["scaled", "measured"]
    assert bundle.manifest.plan["measured"] == [entry.to_json() for entry in measured]
    assert bundle.parity is not None
    assert bundle.parity.bit_equal


@pytest.mark.usefixtures("quick")
def test_not_splitting_is_a_candidate_where_it_is_accepted(model: Path, tmp_path: Path) -> None:
    bundle = _cut(model, tmp_path / "one", device="local", allow_whole=True)
    whole = bundle.plan.measured[0]
    assert whole.placement.verdict == "all-device"
    (stage,) = whole.stages
    assert stage.measured_seconds == whole.corrected_seconds
    assert [entry.tier for entry in bundle.manifest.stages] == ["device"]


def test_only_latency_is_corrected_by_stages(model: Path, tmp_path: Path) -> None:
    objective = Energy(powers={"device": Power(compute_watts=2.0)})
    assert not _cut(model, tmp_path / "one", objective=objective).plan.measured
    with pytest.raises(UsageError, match="energy"):
        _cut(model, tmp_path / "two", objective=objective, measure=2)


@pytest.mark.usefixtures("quick")
def test_what_was_measured_is_kept_so_that_the_bundle_comes_out_the_same(
    model: Path, tmp_path: Path
) -> None:
    folders = [_cut(model, tmp_path / name).folder for name in ("one", "two")]
    contents = [
        {file.name: file.read_bytes() for file in sorted(folder.iterdir())} for folder in folders
    ]
    assert contents[0] == contents[1]


def test_nothing_is_measured_with_profiles_or_when_it_is_turned_off(
    model: Path, tmp_path: Path
) -> None:
    profile = osp.profile(model, threads=1, budget="200 ms")
    assert not _cut(model, tmp_path / "a", device=profile.scale(0.1), server=profile).plan.measured
    assert not _cut(model, tmp_path / "b", measure=0).plan.measured
    with pytest.raises(UsageError, match="neither tier is this machine"):
        _cut(model, tmp_path / "c", device=profile, server=profile, measure=2)
    with pytest.raises(UsageError, match="negative"):
        _cut(model, tmp_path / "c", measure=-1)


@pytest.mark.usefixtures("quick")
def test_times_that_targets_send_back_correct_the_candidates(model: Path, tmp_path: Path) -> None:
    profile = osp.profile(model, threads=1, budget="500 ms")
    tiers: dict[str, Any] = {"device": profile.scale(0.1), "server": profile}
    first = _cut(model, tmp_path / "first", **tiers)
    target = tmp_path / "target"
    shutil.copytree(first.folder, target)
    (target / "server.onnx").unlink()
    device = osp.time_stages(target, tmp_path / "device.json", threads=1, budget="200 ms")
    assert [timing.tier for timing in device.timings] == ["device"]
    (target / "device.onnx").unlink()
    shutil.copy(first.folder / "server.onnx", target)
    server = osp.time_stages(target, tmp_path / "server.json", tier="server", budget="200 ms")
    assert [timing.tier for timing in server.timings] == ["server"]

    slow = replace(device, timings=(replace(device.timings[0], seconds=5.0),))
    write_timings(slow, tmp_path / "slow.json")
    times = [tmp_path / "slow.json", tmp_path / "server.json"]
    second = _cut(model, tmp_path / "second", stage_times=times, **tiers)
    assert len(second.plan.measured) == 3
    assert second.plan.measured[0].stages[0].measured_seconds == 5.0
    assert second.plan.measured[0].measured_seconds is not None
    assert second.plan.measured[1].measured_seconds is None
    ratio = 5.0 / second.plan.measured[0].stages[0].predicted_seconds
    unmeasured = second.plan.measured[1].stages[0]
    assert unmeasured.corrected_seconds == pytest.approx(ratio * unmeasured.predicted_seconds)
    (chosen,) = [candidate for candidate in second.plan.measured if candidate.is_chosen]
    assert chosen.placement == second.plan.placement
    assert chosen.corrected_seconds <= second.plan.measured[0].corrected_seconds
    only = _cut(
        model,
        tmp_path / "only",
        stage_times=times,
        cut_at=[crossing.tensor for crossing in first.plan.crossings],
        **tiers,
    )
    (candidate,) = only.plan.measured
    assert candidate.corrected_seconds > 5
    assert candidate.predicted_seconds == only.plan.predicted.total_seconds


@pytest.mark.usefixtures("quick")
def test_stage_times_that_fit_no_candidate_are_named(model: Path, tmp_path: Path) -> None:
    profile = osp.profile(model, threads=1, budget="200 ms")
    tiers: dict[str, Any] = {"device": profile.scale(0.1), "server": profile}
    bundle = _cut(model, tmp_path / "one", **tiers)
    timings = osp.time_stages(bundle.folder, tmp_path / "t.json", budget="50 ms")
    moved = replace(timings.timings[0], crossings=("elsewhere",))
    write_timings(replace(timings, timings=(moved,)), tmp_path / "t.json")
    plan = _cut(model, tmp_path / "two", stage_times=[tmp_path / "t.json"], **tiers).plan
    assert any("elsewhere" in note and "not used" in note for note in plan.notes)
    other = tmp_path / "other.onnx"
    onnx.save(build_reduced("lenet"), other)
    with pytest.raises(ProfileMismatchError, match="another model"):
        _cut(other, tmp_path / "three", stage_times=[tmp_path / "t.json"])
    assert read_timings(tmp_path / "t.json").timings == (moved,)


def test_costs_and_factors_from_tables_make_a_plan_that_names_them(
    model: Path, tmp_path: Path
) -> None:
    names = [node.name for node in onnx.load(model).graph.node]
    costs = tmp_path / "costs.csv"
    lines = [f"{name},0.004,0.0002" for name in names]
    costs.write_text("\n".join(["operator,device_seconds,server_seconds", *lines]) + "\n")
    plan = osp.plan(model, costs=costs, link=LINK)
    assert plan.baselines["all-device"] == pytest.approx(0.004 * len(names))
    assert {part.evidence for part in plan.predicted.parts} == {"assumed"}
    assert any("costs.csv" in sentence for sentence in plan.assumptions)
    scale = tmp_path / "scale.csv"
    scale.write_text("op_type,factor\n*,2\n")
    doubled = osp.plan(model, costs=costs, device_scale=scale, link=LINK)
    assert doubled.baselines["all-device"] == pytest.approx(0.008 * len(names))
    with pytest.raises(UsageError, match="--costs"):
        osp.plan(model, costs=costs, device="local")
    costs.write_text("operator,device_seconds,server_seconds\nconv_0,1,1\n")
    with pytest.raises(ProfileMismatchError, match="lacks"):
        osp.plan(model, costs=costs)
