"""Which device meets which link in which epoch, for each seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.simulation.mobility import draw_positions
from onnxsplit.simulation.radio import LinkTable, Radio, draw_radio_links
from onnxsplit.simulation.scenarios import Scenario, Timeline
from onnxsplit.simulation.traces import replay

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_MOVES, _SIGHT, _SHADOWS, _FADING, _SELECTION, _MOMENTS = range(6)
"""Streams of chance: each on its own, so that a change of one leaves the others alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encounters:
    """The devices that are served, with their links.

    Parameters
    ----------
    devices : ndarray of int64, shape (seeds, epochs, served)
    up_bytes_per_second, down_bytes_per_second : ndarray of float64, shape (seeds, epochs, served)
    at_floor : ndarray of bool, shape (seeds, epochs, served)
    """

    devices: Integers
    up_bytes_per_second: Floats
    down_bytes_per_second: Floats
    at_floor: Bools

    def list_parameters(self) -> Floats:
        """Return 1, 1 / uplink and 1 / downlink of each, shape (seeds, epochs, served, 3)."""
        return np.stack(
            (
                np.ones(self.devices.shape),
                1 / self.up_bytes_per_second,
                1 / self.down_bytes_per_second,
            ),
            axis=-1,
        )


def draw_encounters(scenario: Scenario) -> Encounters:
    """Draw what all policies of a scenario meet: the same for each of them.

    Parameters
    ----------
    scenario : Scenario

    Notes
    -----
    A seed's draws depend on nothing but the seed and the scenario.
    """
    drawn = [_draw(scenario, seed) for seed in scenario.seeds]
    devices, up, down, floors = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
    return Encounters(
        devices=devices, up_bytes_per_second=up, down_bytes_per_second=down, at_floor=floors
    )


def _draw(scenario: Scenario, seed: int) -> tuple[Integers, Floats, Floats, Bools]:
    """Draw one seed."""
    chosen = _select(scenario.timeline, scenario.count, _open_stream(seed, _SELECTION))
    links = _draw_links(scenario, seed)
    return (
        chosen,
        np.take_along_axis(links.up_bytes_per_second, chosen, axis=1),
        np.take_along_axis(links.down_bytes_per_second, chosen, axis=1),
        np.take_along_axis(links.at_floor, chosen, axis=1),
    )


def _open_stream(seed: int, stream: int) -> np.random.Generator:
    """Open one stream of chance."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _draw_links(scenario: Scenario, seed: int) -> LinkTable:
    """Draw the links of all devices."""
    timeline = scenario.timeline
    if not isinstance(scenario.network, Radio):
        return replay(
            scenario.network,
            _open_stream(seed, _MOMENTS),
            epochs=timeline.epochs,
            devices=scenario.count,
            interval_seconds=timeline.interval_seconds,
            floor_bytes_per_second=scenario.floor_bytes_per_second,
        )
    if scenario.mobility is None:
        raise InternalError("Radio links need to know where devices are.")
    positions = draw_positions(
        scenario.mobility,
        _open_stream(seed, _MOVES),
        epochs=timeline.epochs,
        devices=scenario.count,
        interval_seconds=timeline.interval_seconds,
    )
    return draw_radio_links(
        scenario.network,
        positions,
        sight=_open_stream(seed, _SIGHT),
        shadow=_open_stream(seed, _SHADOWS),
        fading=_open_stream(seed, _FADING),
    )


def _select(timeline: Timeline, devices: int, generator: np.random.Generator) -> Integers:
    """Choose the devices of each epoch, shape (epochs, served)."""
    served, epochs = timeline.per_epoch, timeline.epochs
    if timeline.selection == "in-turn" or served == devices:
        places = np.arange(epochs * served).reshape(epochs, served) % devices
        return np.asarray(places if served < devices else np.sort(places), dtype=np.int64)
    lots = generator.random((epochs, devices))
    return np.sort(np.argpartition(lots, served - 1, axis=1)[:, :served], axis=1).astype(np.int64)
