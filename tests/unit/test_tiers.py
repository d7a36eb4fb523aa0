import pytest

from onnxsplit.errors import UsageError
from onnxsplit.tiers import LINK_PRESETS, Link, Topology


def test_presets_have_the_published_rates() -> None:
    four_g = Link.parse("4g")
    assert four_g.up_bytes_per_second == 5.85e6 / 8
    assert four_g.down_bytes_per_second == 20e6 / 8
    assert four_g.round_trip_seconds == 0.05
    assert four_g.evidence == "assumed"
    assert set(LINK_PRESETS) == {"3g", "4g", "5g", "wifi", "ethernet"}


def test_one_rate_is_taken_for_both_ways_and_overrides_replace_it() -> None:
    link = Link.parse("20 Mbit/s", down="40 Mbit/s", rtt="15 ms")
    assert link.up_bytes_per_second == 2.5e6
    assert link.down_bytes_per_second == 5e6
    assert link.round_trip_seconds == 0.015


def test_an_unknown_link_names_the_presets() -> None:
    with pytest.raises(UsageError, match="3g, 4g, 5g, wifi, ethernet"):
        Link.parse("satellite")


@pytest.mark.parametrize(
    ("up", "rtt"), [(0.0, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (1.0, -1.0), (1.0, float("inf"))]
)
def test_a_link_that_cannot_exist_is_refused(up: float, rtt: float) -> None:
    with pytest.raises(UsageError):
        Link(up_bytes_per_second=up, down_bytes_per_second=1.0, round_trip_seconds=rtt)


def test_a_topology_needs_a_link_between_each_pair_of_neighbours() -> None:
    link = Link.parse("wifi")
    chain = Topology(tiers=("device", "edge", "cloud"), links=(link, link))
    assert [(a, b) for a, b, _ in chain.hops] == [("device", "edge"), ("edge", "cloud")]
    with pytest.raises(UsageError, match="2 links"):
        Topology(tiers=("device", "edge", "cloud"), links=(link,))
    with pytest.raises(UsageError, match="unique"):
        Topology(tiers=("device", "device"), links=(link,))
    with pytest.raises(UsageError, match="two tiers"):
        Topology(tiers=("device",), links=())
