"""Path loss, sight, noise and capacity against values worked out by hand; fading by its moments."""

import math

import numpy as np
import pytest

from onnxsplit.simulation.bands import BANDS, Band
from onnxsplit.simulation.boards import BOARDS
from onnxsplit.simulation.channels import (
    find_breakpoint,
    find_efficiency,
    find_hidden_loss,
    find_noise,
    find_sight_loss,
    find_sight_probability,
)
from onnxsplit.simulation.fading import decide, draw_along, draw_fading
from onnxsplit.simulation.mobility import RandomWaypoint, Static, draw_positions
from onnxsplit.simulation.radio import Radio, State, draw_radio_links, measure_distances

STREET = (10.0, 1.5)
"""Heights of station and device."""


def test_the_breakpoint_is_the_published_one() -> None:
    # 4 (10 - 1) (1.5 - 1) 3.5e9 / 3e8 = 4 * 9 * 0.5 * 11.6667
    assert find_breakpoint(3.5e9, *STREET) == pytest.approx(210.0)
    # 4 * 9 * 0.5 * 28e9 / 3e8
    assert find_breakpoint(28e9, *STREET) == pytest.approx(1680.0)


@pytest.mark.parametrize(
    ("metres", "hertz", "decibels"),
    [
        # d3D = sqrt(100^2 + 8.5^2) = 100.3606, its logarithm 2.0015632;
        # 32.4 + 21 * 2.0015632 + 20 * 0.5440680 = 32.4 + 42.0328 + 10.8814
        (100.0, 3.5e9, 85.3142),
        # beyond 210 m: d3D = 500.0722, logarithm 2.6990328; 210^2 + 8.5^2 = 44172.25, 4.6451494;
        # 32.4 + 40 * 2.6990328 + 10.8814 - 9.5 * 4.6451494 = 32.4 + 107.9613 + 10.8814 - 44.1289
        (500.0, 3.5e9, 107.1138),
        # 32.4 + 21 * 2.0015632 + 20 * 1.4471580 = 32.4 + 42.0328 + 28.9432
        (100.0, 28e9, 103.3760),
        # below 10 m it is that of 10 m: d3D = sqrt(172.25) = 13.1244, logarithm 1.1180796;
        # 32.4 + 21 * 1.1180796 + 10.8814 = 32.4 + 23.4797 + 10.8814
        (3.0, 3.5e9, 66.7611),
    ],
)
def test_the_loss_in_sight_is_the_published_one(
    metres: float, hertz: float, decibels: float
) -> None:
    (found,) = find_sight_loss(np.array([metres]), hertz, *STREET)
    assert found == pytest.approx(decibels, abs=2e-4)


@pytest.mark.parametrize(
    ("metres", "hertz", "device_metres", "decibels"),
    [
        # 35.3 * 2.0015632 + 22.4 + 21.3 * 0.5440680 - 0 = 70.6552 + 22.4 + 11.5887
        (100.0, 3.5e9, 1.5, 104.6438),
        # 35.3 * 2.0015632 + 22.4 + 21.3 * 1.4471580 = 70.6552 + 22.4 + 30.8245
        (100.0, 28e9, 1.5, 123.8797),
        # d3D = sqrt(100^2 + 5^2) = 100.1249, logarithm 2.0005422; - 0.3 (5 - 1.5) = -1.05:
        # 35.3 * 2.0005422 + 22.4 + 11.5887 - 1.05 = 70.6191 + 22.4 + 11.5887 - 1.05
        (100.0, 3.5e9, 5.0, 103.5578),
    ],
)
def test_the_loss_out_of_sight_is_the_published_one(
    metres: float, hertz: float, device_metres: float, decibels: float
) -> None:
    (found,) = find_hidden_loss(np.array([metres]), hertz, 10.0, device_metres)
    assert found == pytest.approx(decibels, abs=2e-4)


@pytest.mark.parametrize(
    ("metres", "hertz", "device_metres", "in_sight_db", "hidden_db"),
    [
        (10.0, 1.95e9, 1.5, 61.6804, 68.0459),
        (30.0, 28e9, 1.5, 92.7148, 105.9587),
        (210.0, 3.5e9, 1.5, 92.0554, 115.9755),
        (1000.0, 2.14e9, 1.5, 118.9281, 135.3384),
        (4900.0, 3.5e9, 3.0, 135.3276, 163.8026),
        (60.0, 28e9, 8.0, 98.6894, 114.0517),
    ],
)
def test_losses_are_those_of_other_simulators(
    metres: float, hertz: float, device_metres: float, in_sight_db: float, hidden_db: float
) -> None:
    # Worked apart from this code by what ns-3's ThreeGppUmiStreetCanyonPropagationLossModel states.
    place, heights = np.array([metres]), (10.0, device_metres)
    (sight,) = find_sight_loss(place, hertz, *heights)
    (hidden,) = find_hidden_loss(place, hertz, *heights)
    assert (sight, hidden) == pytest.approx((in_sight_db, hidden_db), abs=1e-4)
    # Sionna takes the exact speed of light in the breakpoint: 19 log10(3e8 / 299792458) dB at most.
    exact = hertz * 3e8 / 299_792_458
    (turned,) = find_sight_loss(place, exact, *heights) - 20 * math.log10(exact / hertz)
    assert turned == pytest.approx(sight, abs=19 * math.log10(3e8 / 299_792_458) + 1e-9)


@pytest.mark.parametrize("band", BANDS.values(), ids=BANDS)
def test_losses_rise_without_a_jump_and_are_never_less_out_of_sight(band: Band) -> None:
    hertz = band.uplink_hertz
    metres = np.linspace(1, 4000, 40_000)
    sight = find_sight_loss(metres, hertz, *STREET)
    hidden = find_hidden_loss(metres, hertz, *STREET)
    assert (np.diff(sight) >= 0).all()
    assert np.diff(sight).max() < 0.2
    assert (hidden >= sight).all()


def test_the_probability_of_sight_is_the_published_one() -> None:
    metres = np.array([0.0, 18.0, 36.0, 100.0])
    # 18/36 + exp(-1) (1 - 1/2); 0.18 + exp(-2.7778) 0.82 = 0.18 + 0.0621765 * 0.82
    expected = [1.0, 1.0, 0.5 + 0.5 * math.exp(-1), 0.2309847]
    assert find_sight_probability(metres) == pytest.approx(expected, abs=1e-6)
    # As ns-3's ThreeGppUmiStreetCanyonChannelConditionModel and Sionna's UMiScenario have it.
    metres = np.array([25.0, 50.0, 75.0, 150.0, 300.0])
    expected = [0.859819, 0.519585, 0.334631, 0.133643, 0.060226]
    assert find_sight_probability(metres) == pytest.approx(expected, abs=1e-6)


def test_noise_is_thermal_noise_and_the_receivers_own() -> None:
    # 1.380649e-23 * 290 W/Hz = 4.0039e-21 W/Hz = -173.975 dBm/Hz; + 73.0103 + 9
    assert find_noise(20e6, 9.0) == pytest.approx(-91.965, abs=1e-3)


def test_efficiency_is_shannons_within_floor_and_cap() -> None:
    snr = np.array([-60.0, 0.0, 10.0, 80.0])
    found = find_efficiency(snr, attenuation=0.5, floor_bits_per_hertz=0.05, cap_bits_per_hertz=5.0)
    # half of log2(1 + 1) = 1 and of log2(1 + 10) = 3.4594316
    assert found == pytest.approx([0.05, 0.5, 1.7297158, 5.0])


@pytest.mark.parametrize("factor", [0.0, 1.0, 10 ** (9.0 / 10)])
def test_fading_has_the_moments_of_its_law(factor: float) -> None:
    count = 400_000
    drawn = draw_fading(np.random.default_rng(3), (count,), np.full(count, factor))
    # A non-central chi-square: mean 1, variance (2 K + 1) / (K + 1)^2.
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert drawn.var() == pytest.approx((2 * factor + 1) / (factor + 1) ** 2, rel=0.02)
    if factor == 0:  # Rayleigh: the power is exponential
        assert (drawn < 0.1).mean() == pytest.approx(1 - math.exp(-0.1), abs=0.002)


def test_shadows_stay_alike_as_far_as_they_reach() -> None:
    moved = np.full((3, 200_000), 5.0)
    first, second, third = draw_along(np.random.default_rng(4), moved, 10.0)
    assert third.std() == pytest.approx(1.0, abs=0.01)
    # exp(-5/10), and exp(-10/10) two epochs on
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(math.exp(-0.5), abs=0.01)
    assert np.corrcoef(first, third)[0, 1] == pytest.approx(math.exp(-1.0), abs=0.01)


def test_each_shadow_has_a_reach_of_its_own() -> None:
    moved = np.full((2, 200_000), 5.0)
    reach = np.full(moved.shape, 10.0)
    reach[:, 100_000:] = 13.0
    first, second = draw_along(np.random.default_rng(4), moved, reach)
    for part, metres in ((slice(100_000), 10.0), (slice(100_000, None), 13.0)):
        alike = np.corrcoef(first[part], second[part])[0, 1]
        assert alike == pytest.approx(math.exp(-5.0 / metres), abs=0.01)


def test_who_does_not_move_keeps_shadow_and_sight() -> None:
    still = draw_along(np.random.default_rng(5), np.zeros((4, 50)), 10.0)
    assert (still == still[0]).all()
    events = decide(still, np.full(still.shape, 0.3))
    assert (events == events[0]).all()


def test_events_come_as_often_as_they_should() -> None:
    normal = np.random.default_rng(6).standard_normal(200_000)
    assert decide(normal, np.full(normal.shape, 0.3)).mean() == pytest.approx(0.3, abs=0.005)


def test_walkers_stay_in_the_square_and_within_their_speed() -> None:
    walk = RandomWaypoint(
        side_metres=80.0,
        slowest_metres_per_second=1.0,
        fastest_metres_per_second=2.0,
        pause_seconds=3.0,
    )
    positions = draw_positions(
        walk, np.random.default_rng(7), epochs=300, devices=40, interval_seconds=10.0
    )
    distances, moved = measure_distances(positions)
    assert np.abs(positions).max() <= 40.0
    assert moved.max() <= 20.0 + 1e-9  # 2 m/s for 10 s; corners make it shorter
    assert moved[1:].max() > 10.0
    assert distances == pytest.approx(np.hypot(positions[..., 0], positions[..., 1]))
    # Random waypoints gather in the middle (Bettstetter 2003): an even spread has a mean square
    # distance of 2 * 80^2 / 12.
    assert (distances[100:] ** 2).mean() < 0.8 * 2 * 80**2 / 12


def test_a_walker_without_pauses_covers_its_speed_on_straight_ways() -> None:
    walk = RandomWaypoint(
        side_metres=1e6, slowest_metres_per_second=3.0, fastest_metres_per_second=3.0
    )
    positions = draw_positions(
        walk, np.random.default_rng(8), epochs=50, devices=5, interval_seconds=2.0
    )
    _, moved = measure_distances(positions)
    assert moved[1:] == pytest.approx(np.full((49, 5), 6.0))


def test_who_is_static_never_moves() -> None:
    positions = draw_positions(
        Static(side_metres=50.0), np.random.default_rng(9), epochs=4, devices=9, interval_seconds=1
    )
    assert (positions == positions[0]).all()
    assert len(np.unique(positions[0], axis=0)) == 9


def _draw(radio: Radio, metres: float) -> tuple[float, float]:
    """Return the rates of a link without fading at a distance, whose shadow is drawn."""
    positions = np.zeros((1, 1, 2))
    positions[..., 0] = metres
    streams = [np.random.default_rng(seed) for seed in (1, 2, 3)]
    links = draw_radio_links(
        radio, positions, sight=streams[0], shadow=streams[1], fading=streams[2]
    )
    return float(links.up_bytes_per_second[0, 0]), float(links.down_bytes_per_second[0, 0])


def test_a_links_rate_follows_from_its_budget() -> None:
    radio = Radio(state="poor", fading="none", extra_loss_db=20.0)
    up, down = _draw(radio, 100.0)
    shadow = 7.82 * np.random.default_rng(2).standard_normal()
    # 23 dBm + 8 dB - 104.6438 dB - 20 dB - shadow, over noise of -173.975 + 73.0103 + 5 dBm
    snr = 23 + 8 - 104.6438 - 20 - shadow + 95.965
    assert up == pytest.approx(20e6 * 0.4 * math.log2(1 + 10 ** (snr / 10)) / 8, rel=1e-3)
    # 33 dBm from the station, and a noise figure of 9 dB
    assert down == pytest.approx(
        20e6 * 0.6 * math.log2(1 + 10 ** ((snr + 10 - 4) / 10)) / 8, rel=1e-3
    )


def test_a_better_state_has_better_links() -> None:
    rng = np.random.default_rng(10)
    positions = rng.uniform(-150, 150, size=(50, 40, 2))

    def mean(state: State) -> float:
        streams = [np.random.default_rng(seed) for seed in (1, 2, 3)]
        radio = Radio(state=state)
        links = draw_radio_links(
            radio, positions, sight=streams[0], shadow=streams[1], fading=streams[2]
        )
        return float(links.up_bytes_per_second.mean())

    assert mean("good") > mean("normal") > mean("poor")


def test_every_board_names_its_source_and_what_it_was_checked_against() -> None:
    assert BOARDS["jetson-nano"].flops_per_second == pytest.approx(2 * 128 * 921e6)
    assert all(b.source and b.check and b.flops_per_second > 0 for b in BOARDS.values())
    assert "not confirmed" in BOARDS["raspberry-pi-4"].check
