"""The walk-through: a CNN learns real digits over two processes."""

from pathlib import Path

import pytest

from onnxsplit.model.bundle import read_bundle
from samples import train_digits


@pytest.mark.slow
def test_a_network_split_over_two_processes_learns_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_digits.main(["-o", str(tmp_path / "digits")]) == 0
    trained = tmp_path / "digits" / "digits.trained"
    assert train_digits.score_halves(trained, tmp_path / "digits" / "test.npz") >= 0.97
    assert "of the digits that were kept for the test" in capsys.readouterr().out
    assert read_bundle(trained).manifest.trained is not None
