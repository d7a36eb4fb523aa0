from dataclasses import replace

import pytest

from onnxsplit.evidence import StageTiming
from onnxsplit.placement import Crossing, Placement
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.outlook.correction import correct_candidates, explain_choice
from onnxsplit.prediction import CostPart, Prediction


def _candidate(tensor: str, *, device: float, server: float, upload: float) -> PricedPlacement:
    """A split of four operators whose parts are given in seconds."""
    parts = (
        CostPart(kind="compute", where="device", seconds=device, evidence="measured"),
        CostPart(kind="compute", where="server", seconds=server, evidence="assumed"),
        CostPart(kind="upload", where="device->server", seconds=upload, evidence="assumed"),
    )
    crossing = Crossing(
        tensor=tensor,
        source="device",
        target="server",
        dtype="float32",
        shape=(1,),
        size_bytes=4,
    )
    return PricedPlacement(
        placement=Placement.of_groups({"device": ["a", "b", "c"], "server": ["d"]}),
        prediction=Prediction(total_seconds=device + server + upload, parts=parts),
        value=device + server + upload,
        crossings=(crossing,),
        downloads=(),
    )


def _timing(tier: str, tensor: str, seconds: float, operators: int | None = None) -> StageTiming:
    count = {"device": 3, "server": 1}[tier] if operators is None else operators
    return StageTiming(tier=tier, crossings=(tensor,), operators=count, seconds=seconds, runs=9)


FIRST = _candidate("t", device=0.010, server=0.001, upload=0.005)
SECOND = _candidate("u", device=0.012, server=0.001, upload=0.004)


def test_measured_stages_replace_predicted_ones_and_the_fastest_is_chosen() -> None:
    timings = [
        _timing("device", "t", 0.013),
        _timing("server", "t", 0.002),
        _timing("device", "u", 0.011),
        _timing("server", "u", 0.002),
    ]
    first, second = correct_candidates([FIRST, SECOND], timings)
    assert (first.predicted_seconds, second.predicted_seconds) == pytest.approx((0.016, 0.017))
    assert first.measured_seconds == pytest.approx(0.013 + 0.002 + 0.005)
    assert second.measured_seconds == pytest.approx(0.011 + 0.002 + 0.004)
    assert (first.is_chosen, second.is_chosen) == (False, True)
    note = explain_choice([first, second])
    assert "when measured it is faster by 3 ms" in note
    assert "--measure 0" in note


def test_a_stage_that_was_not_timed_takes_its_tiers_ratio() -> None:
    first, second = correct_candidates([FIRST, SECOND], [_timing("device", "t", 0.015)])
    device, server = second.stages
    assert device.measured_seconds is None
    assert device.corrected_seconds == pytest.approx(0.012 * 1.5)
    assert device.evidence == "scaled"
    assert server.corrected_seconds == server.predicted_seconds
    assert server.evidence == "assumed"
    assert first.measured_seconds is None
    assert first.corrected_seconds == pytest.approx(0.015 + 0.001 + 0.005)
    assert first.is_chosen
    assert explain_choice([first, second]) == ""


def test_without_any_timing_nothing_is_corrected() -> None:
    entries = correct_candidates([FIRST, SECOND], [])
    assert [entry.corrected_seconds for entry in entries] == pytest.approx([0.016, 0.017])
    assert [entry.is_chosen for entry in entries] == [True, False]
    assert correct_candidates([], []) == ()


def test_times_of_another_placement_with_the_same_crossings_do_not_count() -> None:
    (entry,) = correct_candidates([FIRST], [_timing("device", "t", 0.5, operators=2)])
    assert entry.stages[0].measured_seconds is None
    assert entry.corrected_seconds == pytest.approx(0.016)


def test_of_a_stage_that_comes_twice_the_last_time_counts() -> None:
    timings = [_timing("device", "t", 0.5), _timing("device", "t", 0.02)]
    (entry,) = correct_candidates([FIRST], timings)
    assert entry.stages[0].measured_seconds == 0.02


def test_what_the_cut_adds_on_a_tier_belongs_to_its_stage() -> None:
    added = CostPart(kind="boundary", where="device", seconds=0.003, evidence="measured")
    parts = (*FIRST.prediction.parts, added)
    prediction = Prediction(total_seconds=FIRST.total_seconds + 0.003, parts=parts)
    (corrected,) = correct_candidates(
        [replace(FIRST, prediction=prediction)], [_timing("device", "t", 0.013)]
    )
    device, _ = corrected.stages
    assert device.predicted_seconds == pytest.approx(0.013)
    assert corrected.corrected_seconds == pytest.approx(0.013 + 0.001 + 0.005)


@pytest.mark.parametrize(("interval", "taken"), [(0.01, 1), (0.2, 0), (None, 1)])
def test_a_difference_within_the_intervals_does_not_change_the_choice(
    interval: float | None, taken: int
) -> None:
    timings = [
        replace(_timing("device", tensor, seconds), interval_relative=interval)
        for tensor, seconds in (("t", 0.013), ("u", 0.012))
    ]
    entries = correct_candidates([FIRST, SECOND], timings)
    assert [entry.is_chosen for entry in entries].index(True) == taken
    assert entries[0].uncertainty_seconds == pytest.approx(0.013 * (interval or 0.0))
