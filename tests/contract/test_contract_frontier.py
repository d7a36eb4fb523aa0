"""The command ``frontier``, and the options that say how a cut is found."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import onnxsplit as osp
from tests.contract.workshop import Command, Workshop


def test_a_frontier_is_whole_and_agrees_with_plans_at_its_rates(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    options = [workshop.model, *workshop.cut_options(), "--format", "json", "--rtt", "1 ms"]
    document = command("frontier", *options, folder=tmp_path).document()
    segments = document["segments"]
    ends = [segment["to_bytes_per_second"] for segment in segments]
    assert [0, *ends[:-1]] == [segment["from_bytes_per_second"] for segment in segments]
    assert ends[-1] is None
    for segment in segments:
        low = segment["from_bytes_per_second"] or 1000
        rate = 2 * low if segment["to_bytes_per_second"] is None else 1.001 * low
        plan = command(
            "plan",
            *options,
            "--uplink",
            f"{rate} B/s",
            "--downlink",
            f"{rate * document['down_per_up']} B/s",
            folder=tmp_path,
        ).document()
        cost = segment["cost"]
        expected = cost["constant"] + cost["per_inverse_uplink"] / rate
        expected += cost["per_inverse_downlink"] / (rate * document["down_per_up"])
        if rate < (segment["to_bytes_per_second"] or float("inf")):
            assert plan["predicted"]["total_seconds"] == pytest.approx(expected, rel=1e-6)


def test_the_drawing_is_an_svg_with_a_curve_for_each_segment(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    options = [workshop.model, *workshop.cut_options(), "--format", "json"]
    finished = command("frontier", *options, "--svg", "f.svg", folder=tmp_path)
    root = ET.fromstring((tmp_path / "f.svg").read_text("utf-8"))  # noqa: S314 - our own
    curves = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(curves) == len(finished.document()["segments"])


def test_a_drawing_that_can_not_be_written_is_one_sentence(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    options = [workshop.model, *workshop.cut_options(), "--format", "json"]
    finished = command("frontier", *options, "--svg", "no/folder/f.svg", folder=tmp_path)
    assert finished.code == 2
    assert "can't be written" in finished.error()["message"]


@pytest.mark.parametrize("options", [["--boundary", "fp16"], ["--recompute"]])
def test_what_is_settled_for_one_link_alone_is_refused(
    workshop: Workshop, command: Command, tmp_path: Path, options: list[str]
) -> None:
    asked = [workshop.model, *workshop.cut_options(), "--format", "json", *options]
    finished = command("frontier", *asked, folder=tmp_path)
    assert finished.code == 2
    assert options[0] in finished.error()["message"]


def test_every_method_plans_the_same_and_says_what_it_certified(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    options = [workshop.model, *workshop.cut_options(), "--format", "json"]
    plans = {
        words: command("plan", *options, *words.split(), folder=tmp_path).document()
        for words in (
            "--method general",
            "--method blockwise",
            "--method blockwise --certify original",
        )
    }
    totals = {plan["predicted"]["total_seconds"] for plan in plans.values()}
    assert len(totals) == 1
    scopes = [plan["certificate"]["scope"] for plan in plans.values()]
    assert scopes == ["original", "contracted", "original"]


def test_a_look_up_of_another_kind_of_link_is_refused(workshop: Workshop) -> None:
    found = osp.frontier(
        workshop.model,
        device=workshop.folder / "device.json",
        server=workshop.folder / "server.json",
        link="20 Mbit/s",
    )
    link = osp.Link(up_bytes_per_second=1e6, down_bytes_per_second=1e6)
    assert found.at(link).placement.tiers == ("device", "server")
    with pytest.raises(osp.OnnxSplitError, match="round trip"):
        found.at(osp.Link.parse("20 Mbit/s", rtt="7 ms"))
    with pytest.raises(osp.OnnxSplitError, match="two dimensions"):
        found.at(osp.Link.parse("20 Mbit/s", down="1 Mbit/s"))
    assert json.dumps(found.to_json())
