"""Recorded bandwidths: their layouts, and replaying them."""

from pathlib import Path

import numpy as np
import pytest

from onnxsplit.errors import UsageError
from onnxsplit.simulation.traces import Trace, read_trace, replay

UCC = """\
Timestamp,Longitude,Latitude,Speed,Operatorname,CellID,NetworkMode,RSRP,DL_bitrate,UL_bitrate,State
2018.01.18_12.44.38,-8.5,51.9,0,A,2,LTE,-95,8000,80,D
2018.01.18_12.44.39,-8.5,51.9,1,A,2,LTE,-95,-,-,I
2018.01.18_12.44.40,-8.5,51.9,1,A,2,LTE,-97,16000,160,D
2018.01.18_12.44.41,-8.5,51.9,1,A,2,LTE,-97,3,1,I
"""
GHENT = "1453125440000 1000 51.0 3.7 250000 1000\n1453125440500 1500 51.0 3.7 500000 500\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_text(text)
    return path


def test_a_log_of_cork_is_read(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, UCC), "ucc")
    assert trace.down_bytes_per_second.tolist() == [1e6, 2e6]  # kbit/s; gaps and idle are left out
    assert trace.up_bytes_per_second.tolist() == [1e4, 2e4]
    shared = read_trace(tmp_path / "log.csv", "ucc", 0.25)
    assert shared.up_bytes_per_second.tolist() == [2.5e5, 5e5]


def test_a_log_of_ghent_is_read(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, GHENT), "ghent", 0.5)
    assert trace.seconds.tolist() == [0.0, 1.0, 1.5]
    assert trace.down_bytes_per_second.tolist() == [250_000.0, 1_000_000.0]
    assert trace.up_bytes_per_second.tolist() == [125_000.0, 500_000.0]


def test_a_table_of_rates_is_read(tmp_path: Path) -> None:
    text = "down_bytes_per_second,seconds,up_bytes_per_second\n20,5,2\n40,8,4\n"
    trace = read_trace(write(tmp_path, text), "rates")
    assert trace.seconds.tolist() == [0.0, 3.0, 6.0]
    assert trace.up_bytes_per_second.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("layout", "text", "message"),
    [
        ("ucc", "DL_bitrate\n1\n", "no column 'UL_bitrate'"),
        ("ucc", UCC.replace("8000", "fast"), "line 2: 'fast' is no rate"),
        ("ucc", UCC.replace("8000", "-8000"), "line 2: '-8000' is no rate"),
        ("ucc", UCC.replace(",160,D", ""), "line 4: fields are missing"),
        ("ucc", "DL_bitrate,UL_bitrate\n-,-\n", "holds no rates"),
        ("ucc", "DL_bitrate,UL_bitrate\n5,-\n", "has no uplink; give up_per_down"),
        ("ucc", "DL_bitrate,UL_bitrate\n5,0\n", "carried nothing at all one way"),
        ("rates", "seconds,up_bytes_per_second,down_bytes_per_second\n", "holds no rates"),
        ("rates", "seconds,up_bytes_per_second,down_bytes_per_second\n0,1e308,1\n", "is no rate"),
        ("ghent", GHENT, "has no uplink; give up_per_down"),
        ("ghent", "1 2 3\n", "line 1: it has 3 fields, not 6"),
        (
            "rates",
            "seconds,up_bytes_per_second,down_bytes_per_second\n2,1,1\n1,1,1\n",
            "do not rise",
        ),
    ],
)
def test_a_bad_trace_is_refused(tmp_path: Path, layout: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_trace(write(tmp_path, text), layout)
    assert message in str(caught.value)


def test_an_epoch_has_the_mean_rate_of_its_stretch_round_and_round() -> None:
    trace = Trace(
        seconds=np.array([0.0, 1.0, 4.0]),
        up_bytes_per_second=np.array([8.0, 4.0]),
        down_bytes_per_second=np.array([80.0, 40.0]),
    )
    links = replay(
        trace,
        np.random.default_rng(1),
        epochs=50,
        devices=20,
        interval_seconds=3.0,
        floor_bytes_per_second=1.0,
    )
    offsets = np.random.default_rng(1).uniform(0, 4, size=20)
    fine = np.arange(0, 3, 1e-3) + 5e-4
    for epoch, device in ((0, 0), (7, 3), (49, 19)):
        moments = (offsets[device] + 3 * epoch + fine) % 4
        mean = np.where(moments < 1, 8.0, 4.0).mean()
        assert links.up_bytes_per_second[epoch, device] == pytest.approx(mean, abs=5e-3)
    assert links.down_bytes_per_second == pytest.approx(10 * links.up_bytes_per_second)
    assert not links.at_floor.any()


def test_a_gap_gives_the_slowest_link() -> None:
    trace = Trace(
        seconds=np.array([0.0, 1.0]),
        up_bytes_per_second=np.array([0.5]),
        down_bytes_per_second=np.array([9.0]),
    )
    links = replay(
        trace,
        np.random.default_rng(2),
        epochs=2,
        devices=1,
        interval_seconds=1.0,
        floor_bytes_per_second=2.0,
    )
    assert links.up_bytes_per_second.tolist() == [[2.0], [2.0]]
    assert links.at_floor.all()
