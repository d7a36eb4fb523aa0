"""The controller on links that a test makes up: it follows them, and does not flap or lock in."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from onnxsplit.cut_entries import CutEntry
from onnxsplit.errors import UsageError
from onnxsplit.runtime.controller import ALL_DEVICE, CutController
from onnxsplit.runtime.link_estimate import LinkEstimate, Transfer
from onnxsplit.runtime.run_traces import Route, RunTrace
from onnxsplit.tiers import Link

MBIT = 125_000.0
TRIP = 0.005
PLANNED = Link(
    up_bytes_per_second=100 * MBIT, down_bytes_per_second=100 * MBIT, round_trip_seconds=TRIP
)


def make_entry(name: str, device: float, server: float, up: int) -> CutEntry:
    parts = [
        {"kind": "compute", "tier": "device", "seconds": device},
        {"kind": "compute", "tier": "server", "seconds": server},
        {"kind": "upload", "link": "device->server", "seconds": 1.0},
    ]
    return CutEntry(
        id=name,
        from_bytes_per_second=0.0,
        to_bytes_per_second=1.0,
        constant_seconds=device + server,
        bytes_per_uplink=up,
        bytes_per_downlink=40.0 if up else 0.0,
        round_trips=int(up > 0),
        stages=(),
        yields={},
        crossings=(),
        plan={"tiers": ["device", "server"], "predicted": {"parts": parts}},
        parity=None,
        carving={},
    )


# The device alone up to 2.8 Mbit/s, then cut-1, and cut-2 from 19 Mbit/s on.
CUTS = (
    make_entry(ALL_DEVICE, 0.200, 0.0, 0),
    make_entry("cut-1", 0.100, 0.005, 32_000),
    make_entry("cut-2", 0.030, 0.010, 200_000),
)


class World:
    """A link and a device that a controller is at work on, by a clock of its own."""

    def __init__(self, *, device_ratio: float = 1.0, noise: float = 0.0) -> None:
        self.now_seconds = 0.0
        self.rate = 100 * MBIT
        self.device_ratio = device_ratio
        self.controller = CutController(CUTS, PLANNED, clock=lambda: self.now_seconds)
        self._noise = noise
        self._rng = random.Random(7)

    def run(self, count: int = 1) -> list[str]:
        """Run some times, and name the cuts."""
        return [self._run() for _ in range(count)]

    def probe(self) -> None:
        """Measure the link as a watch does."""
        if not self.rate:
            self.controller.observe_outage()
            return
        self.controller.observe_probe(round_trip_seconds=TRIP, up_bytes_per_second=self.rate)

    def _run(self) -> str:
        name = self.controller.choose()
        cut = next(cut for cut in CUTS if cut.id == name)
        device = cut.plan["predicted"]["parts"][0]["seconds"] * self.device_ratio
        server = cut.plan["predicted"]["parts"][1]["seconds"]
        route: Route = "device" if name == ALL_DEVICE else "split"
        network = 0.0
        if route == "split" and not self.rate:
            route, device = "fallback", device + 1.0
        elif route == "split":
            network = TRIP + cut.bytes_per_uplink / self.rate
            network *= 1 + self._rng.uniform(0, self._noise)
        trace = RunTrace(
            index=0,
            cut=name,
            route=route,
            device_seconds=device,
            network_seconds=network,
            server_seconds=server if route == "split" else 0.0,
            sent_bytes=int(cut.bytes_per_uplink),
            received_bytes=40,
        )
        self.now_seconds += device + network + server
        self.controller.observe(trace)
        return name


def test_it_begins_with_the_best_over_the_link_that_was_planned_for() -> None:
    assert World().run(20) == ["cut-2"] * 20


def test_it_follows_a_link_down_out_and_back() -> None:
    world = World()
    world.run(10)
    world.rate = 6 * MBIT
    world.run(8)
    assert world.run() == ["cut-1"]
    world.rate = 0.0
    assert world.run(3) == ["cut-1", ALL_DEVICE, ALL_DEVICE]
    for _ in range(5):
        world.probe()
        assert world.run(2) == [ALL_DEVICE] * 2
    world.rate = 100 * MBIT
    world.probe()
    assert world.run(5) == ["cut-2"] * 5


def test_what_small_transfers_show_does_not_lock_it_in() -> None:
    world = World()
    world.rate = 1 * MBIT
    world.run(20)
    assert world.run() == [ALL_DEVICE]  # nothing is sent any more, so nothing is learned by runs
    world.rate = 100 * MBIT
    assert world.run(20) == [ALL_DEVICE] * 20
    world.probe()
    world.probe()
    assert world.run(2)[-1] == "cut-2"


def test_a_faster_link_is_seen_by_transfers_that_do_not_fill_it() -> None:
    world = World()
    world.rate = 6 * MBIT
    world.run(20)
    assert world.run() == ["cut-1"]
    world.rate = 100 * MBIT
    world.run(20)
    assert world.run() == ["cut-2"]


def test_near_a_breakpoint_it_stays_where_it_is() -> None:
    world = World(noise=0.2)
    switches = 0
    for step in range(200):
        world.rate = (19 + (step % 2)) * MBIT
        world.run()
        world.probe()
        switches = len(world.controller.switches)
    assert switches <= 1


def test_a_cut_stays_for_a_while_however_the_link_changes() -> None:
    world = World()
    for step in range(400):
        world.rate = (2 if step % 4 < 2 else 100) * MBIT
        world.probe()
        world.probe()
        world.run()
    times = [switch.at_seconds for switch in world.controller.switches]
    assert len(times) > 5
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


def test_one_outlier_moves_nothing() -> None:
    estimate = LinkEstimate(PLANNED)
    for _ in range(3):
        estimate.learn_rate("up", 100 * MBIT)
    estimate.learn_rate("up", 1 * MBIT)
    assert estimate.link.up_bytes_per_second == 100 * MBIT
    estimate.learn_rate("up", 1 * MBIT)
    assert estimate.link.up_bytes_per_second == 1 * MBIT


def test_a_small_transfer_is_no_measurement_but_a_bound() -> None:
    estimate = LinkEstimate(PLANNED)
    for _ in range(10):
        estimate.learn(Transfer(sent_bytes=2_000, received_bytes=40, seconds=TRIP + 0.002))
    assert estimate.link.up_bytes_per_second == 100 * MBIT
    slow = LinkEstimate(replace(PLANNED, up_bytes_per_second=1 * MBIT))
    for _ in range(3):
        slow.learn(Transfer(sent_bytes=20_000, received_bytes=40, seconds=TRIP + 0.002))
    assert slow.link.up_bytes_per_second > 50 * MBIT


def test_downloads_tell_the_downlink() -> None:
    estimate = LinkEstimate(PLANNED)
    for _ in range(3):
        estimate.learn(Transfer(sent_bytes=100, received_bytes=1_000_000, seconds=1.0))
    assert estimate.link.down_bytes_per_second == pytest.approx(1e6 / (1.0 - TRIP), rel=1e-3)
    assert estimate.link.up_bytes_per_second == 100 * MBIT


def test_a_device_that_is_faster_than_assumed_is_found_out() -> None:
    world = World(device_ratio=0.05)
    world.run(3)
    world.now_seconds += 2.0
    assert world.run() == [ALL_DEVICE]
    assert world.controller.predict_seconds(ALL_DEVICE) == pytest.approx(0.01)


def test_a_bundle_without_the_device_alone_cannot_adapt() -> None:
    with pytest.raises(UsageError, match="all-device"):
        CutController(CUTS[1:], PLANNED)


def test_switches_say_when_and_why() -> None:
    world = World()
    world.run(30)
    world.rate = 0.0
    world.run(2)
    (switch,) = world.controller.switches
    assert switch.to_json() == {
        "at_seconds": pytest.approx(world.now_seconds, abs=1.5),
        "cut": ALL_DEVICE,
        "reason": "the link is down",
    }
