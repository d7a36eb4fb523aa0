"""What callers say of machines, links and placements."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnxsplit.errors import ProfileError, UsageError
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.profiling.storage import write_profile
from onnxsplit.tiers import Link
from onnxsplit.workflows.links import read_link
from onnxsplit.workflows.placements import read_placement
from onnxsplit.workflows.targets import LocalTier, read_tier, read_topology
from tests.random_graphs import draw_graph

LINK: dict[str, Any] = {
    "schema": "onnxsplit.link/1",
    "up_bytes_per_second": 1e6,
    "down_bytes_per_second": 2e6,
    "round_trip_seconds": 0.01,
    "evidence": "measured",
    "label": "lab",
    "extra": 1,
}
TIERS = ("device", "server")
GRAPH = next(
    graph
    for graph in (draw_graph(random.Random(seed), most=8) for seed in range(50))
    if len(graph) >= 4
)


def _write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_a_link_file_is_read(tmp_path: Path) -> None:
    link = read_link(_write(tmp_path / "link.json", LINK))
    assert link == Link(
        up_bytes_per_second=1e6,
        down_bytes_per_second=2e6,
        round_trip_seconds=0.01,
        evidence="measured",
        label="lab",
    )


@pytest.mark.parametrize("sample", sorted(Path("samples/links").glob("*.json")), ids=str)
def test_the_committed_links_are_read(sample: Path) -> None:
    assert read_link(sample).evidence == "assumed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "onnxsplit.link/2"}, "link/2"),
        ({"up_bytes_per_second": None}, "up_bytes_per_second"),
        ({"down_bytes_per_second": "fast"}, "down_bytes_per_second"),
        ({"down_bytes_per_second": True}, "down_bytes_per_second"),
        ({"up_bytes_per_second": 0}, "positive"),
        ({"round_trip_seconds": -1}, "round_trip_seconds"),
        ({"evidence": "hoped"}, "hoped"),
    ],
)
def test_a_wrong_link_file_is_refused_by_key(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_link(_write(tmp_path / "link.json", {**LINK, **change}))


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "nothing"])
def test_what_is_no_link_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "link.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="link file"):
        read_link(path)
    with pytest.raises(UsageError, match="can't be read"):
        read_link(tmp_path / "absent.json")


def test_overrides_make_a_measured_link_an_assumption(tmp_path: Path) -> None:
    path = _write(tmp_path / "link.json", LINK)
    (link,) = read_topology(path).links
    assert link.evidence == "measured"
    (link,) = read_topology(path, uplink="8 Mbit/s", rtt="2 ms").links
    assert (link.up_bytes_per_second, link.round_trip_seconds) == (1e6, 0.002)
    assert link.down_bytes_per_second == 2e6
    assert link.evidence == "assumed"


def test_a_preset_beats_a_file_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "wifi", LINK)
    monkeypatch.chdir(tmp_path)
    (link,) = read_topology("wifi").links
    assert link.label == "wifi"


def test_tiers_are_local_scaled_or_files(tmp_path: Path) -> None:
    assert read_tier("local", "device") == LocalTier()
    assert read_tier("local:0.05", "device") == LocalTier(speed=0.05)
    profile = Profile(
        tier="device", groups=(OperatorGroup(operators=("a",), seconds=1.0),), extra={"k": 1}
    )
    assert read_tier(profile, "device") is profile
    write_profile(profile, tmp_path / "p.json")
    assert read_tier(tmp_path / "p.json", "server") == profile


@pytest.mark.parametrize("text", ["local:", "local:fast", "local:-1", "local:0", "local:inf"])
def test_a_speed_that_is_no_positive_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--server local:"):
        read_tier(text, "server")


def test_a_missing_or_malformed_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such profile file"):
        read_tier(tmp_path / "absent.json", "device")
    with pytest.raises(ProfileError, match=r"p\.json"):
        read_tier(_write(tmp_path / "p.json", {"schema": "onnxsplit.profile/1"}), "device")


class TestPlacementFiles:
    """A placement file must place every operator once."""

    def _groups(self) -> dict[str, list[str]]:
        names = [operator.name for operator in GRAPH]
        return {"device": names[:2], "server": names[2:]}

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda groups: groups,
            lambda groups: {"placement": groups},
            lambda groups: {"plan": {"placement": groups}},
        ],
        ids=["map", "plan", "bundle"],
    )
    def test_plans_bundles_and_plain_maps_are_read(
        self, tmp_path: Path, wrap: Callable[[object], object]
    ) -> None:
        path = _write(tmp_path / "p.json", wrap(self._groups()))
        placement = read_placement(path, GRAPH, TIERS)
        assert list(placement.tier_of) == [operator.name for operator in GRAPH]
        assert placement.operators("device") == tuple(self._groups()["device"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"device": []}, "is not placed"),
            ({"moon": []}, "no tier 'moon'"),
            ({"device": ["op0", "op1", "op2"]}, "placed twice"),
            ({"device": ["opp"]}, "no operator 'opp'"),
            ({"device": "op0"}, "list of operator names"),
            ({"device": [1]}, "list of operator names"),
        ],
    )
    def test_what_does_not_place_all_once_is_refused(
        self, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        path = _write(tmp_path / "p.json", {**self._groups(), **change})
        with pytest.raises(UsageError, match=message):
            read_placement(path, GRAPH, TIERS)

    @pytest.mark.parametrize("text", ["[]", "{", "3"])
    def test_what_is_no_placement_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "p.json"
        path.write_text(text)
        with pytest.raises(UsageError, match="--placement"):
            read_placement(path, GRAPH, TIERS)
