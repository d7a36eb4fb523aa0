import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsplit.errors import InternalError
from onnxsplit.evidence import ParityResult
from onnxsplit.placement import Certificate, Placement
from onnxsplit.reporting.bundle_report import BundleReport
from onnxsplit.reporting.markdown import render_markdown
from onnxsplit.reporting.page import Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.parity_report import describe_parity, summarise_parity
from onnxsplit.reporting.plan_report import describe_plan, word_certificate
from onnxsplit.reporting.profile_report import describe_profile
from tests.made_results import (
    FOLDER,
    make_explanations,
    make_manifest,
    make_parity,
    make_plan,
    make_profile,
    make_sensitivity,
)


def make_report(*, parity: ParityResult | None) -> BundleReport:
    plan = make_plan(notes=("Not splitting is faster: all-server takes 65.3 ms.",))
    return BundleReport(
        folder=FOLDER, manifest=make_manifest(plan, parity), plan=plan, parity=parity
    )


def texts(page: Page) -> Iterator[str]:
    for block in page:
        match block:
            case Sentence():
                yield block.text
            case Bullets():
                yield from (block.title, *block.items)
            case Table():
                yield block.title
                for row in (*block.rows, *([] if block.total is None else [block.total])):
                    yield " | ".join(row)


def find_table(page: Page, title: str) -> Table:
    return next(block for block in page if isinstance(block, Table) and title in block.title)


def test_a_table_with_a_ragged_row_is_refused() -> None:
    columns = (Column(title="a"), Column(title="b"))
    with pytest.raises(InternalError, match="1 cells for 2 columns"):
        Table(title="t", columns=columns, rows=(("1",),))
    with pytest.raises(InternalError, match="3 cells for 2 columns"):
        Table(title="t", columns=columns, rows=(), total=("1", "2", "3"))


def test_a_plan_s_notes_come_first_and_stand_out() -> None:
    first = describe_plan(make_plan(notes=("This split moves only 2 %.",)))[0]
    assert first == Sentence(text="This split moves only 2 %.", tone="warning")


def test_a_plan_says_who_runs_what_and_how_it_compares() -> None:
    said = list(texts(describe_plan(make_plan())))
    assert (
        "Split: the device runs 2 operators, up to 'op_1'; the server runs 4, from 'op_2' on."
        in said
    )
    assert (
        "Predicted latency 170 ms: 1.44x faster than all-device, 2.6x slower than all-server."
        in said
    )
    assert "fire3/concat_1 | device -> server | float32 | [1, 128, 55, 55] | 1.55 MB" in said
    assert "softmaxout_1 | server -> device | float32 | [1, 1000, 1, 1] | 4 kB" in said
    assert "download to device | 320 us | 0.2 % | assumed" in said
    assert "total | 170 ms |  | " in said
    assert "all-server |  |  | 65.3 ms | 2.6x faster" in said
    assert "next cut | pool5 | 346 kB | 170 ms | as fast" in said
    assert any("minimum cut = maximum flow = 169520000 ticks" in text for text in said)
    assert any("134 vertices and 402 arcs" in text for text in said)
    assert any("taken to be 0.05 times as fast" in text for text in said)


def test_the_parts_of_the_page_add_up_to_its_total() -> None:
    table = find_table(describe_plan(make_plan()), "Predicted latency")
    shares = [float(row[2].removesuffix(" %")) for row in table.rows]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))


def test_a_plan_that_does_not_split_says_so() -> None:
    plan = make_plan(crossings=())
    whole = dataclasses.replace(
        plan,
        placement=Placement.of_groups({"device": ["a", "b"], "server": []}),
        downloads=(),
        verdict="all-device",
    )
    said = list(texts(describe_plan(whole)))
    assert "Not split: the device runs all 2 operators." in said
    assert not any(text.startswith("all-device |") for text in said)


def test_a_price_that_is_not_the_best_is_not_called_proven() -> None:
    certificate = Certificate(
        cut_ticks=1500, flow_ticks=1000, tick_seconds=1e-6, rounding_bound_seconds=0.0
    )
    assert word_certificate(certificate) == "At most 500 us above the best of all placements."


def test_a_bundle_s_page_tells_the_proof_the_files_and_the_assumptions() -> None:
    page = make_report(parity=make_parity()).page()
    said = list(texts(page))
    assert said[0].startswith("Not splitting is faster")
    assert any(text.startswith("Parity: the stages equal the whole model") for text in said)
    assert "Wrote squeezenet.split" in said
    assert "device.onnx | device | 2 | 220 kB | data_0 | fire3/concat_1" in said
    assert "split.json |  |  |  |  | " in said
    assert "One dead operator was dropped." in said
    assert "Assumptions" in said


def test_a_bundle_without_parity_says_that_nobody_looked() -> None:
    report = make_report(parity=None)
    assert Sentence(text="Parity was not checked.", tone="warning") in report.page()
    assert report.document()["parity"] is None


def test_failed_parity_names_the_outputs_and_why() -> None:
    result = make_parity(passed=False)
    page = describe_parity(result)
    assert isinstance(page[0], Sentence)
    assert page[0].tone == "bad"
    assert "Parity failed for 1 of 1 output: 'softmaxout_1'" in page[0].text
    assert any("the largest difference is 0.4" in text for text in texts(page))
    assert any(
        "the largest difference is 0.4" in text for text in texts(make_report(parity=result).page())
    )


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, "bit for bit with optimisations off, and within 5.9e-07"),
        ({"max_relative": 0.0}, "and exactly with them on"),
        ({"bit_equal": False}, "not bit for bit"),
        ({"comparison": "shapes"}, "random operators"),
    ],
)
def test_parity_says_how_equal_the_stages_are(change: dict[str, object], wanted: str) -> None:
    result = make_parity()
    output = dataclasses.replace(result.outputs[0], **change)  # type: ignore[arg-type]  # by name
    sentence = summarise_parity(dataclasses.replace(result, outputs=(output,)))
    assert sentence.tone == "good"
    assert wanted in sentence.text


def test_a_profile_s_page_lists_the_dearest_operators_first() -> None:
    page = describe_profile(make_profile(), model=Path("some/m.onnx"), output=Path("p.json"))
    said = list(texts(page))
    assert said[0] == "1 operator did not run on CUDAExecutionProvider: 'conv1'."
    assert said[1] == "m.onnx takes 78 ms on the device (24 operators, 12 kernels)."
    assert "Wrote p.json." in said
    table = find_table(page, "Where the time goes")
    assert [row[0] for row in table.rows[:2]] == ["conv11", "conv10"]
    assert table.rows[-1] == ("all others", "4", "3 ms", "3.8 %")
    assert "runs | 41, 95 % interval within 1.8 %" in said
    assert "ran on | CUDAExecutionProvider: 2 operators" in said


def test_markdown_tables_have_as_many_cells_in_every_row() -> None:
    text = render_markdown(make_report(parity=make_parity()).page())
    for table in re.findall(r"(?:^\|.*\|\n?)+", text, flags=re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}
        assert len(widths) == 1, table


def test_a_plan_tells_how_far_figures_may_move_and_what_is_best_beyond() -> None:
    plan = dataclasses.replace(make_plan(), sensitivity=make_sensitivity())
    said = list(texts(describe_plan(plan)))
    assert "Best of all is all-server, and stays so while, all else equal," in said
    assert (
        "the uplink of device->server (now 100 Mbit/s) is at least 16 Mbit/s and at most"
        " 116 Mbit/s: below that all-device, above that all-server; staying would cost 11.8 ms at"
        " twice the figure"
    ) in said
    assert "the downlink of device->server (now unlimited) is anything" in said
    assert (
        "the speed of server (now 1x) is at least 0.5x: below that all-device; staying would cost"
        " 11.8 ms at twice the figure"
    ) in said


def test_a_plan_says_why_an_operator_is_where_it_is() -> None:
    plan = dataclasses.replace(make_plan(), explanations=make_explanations())
    said = list(texts(describe_plan(plan)))
    assert (
        "'op_1' is on the device: the best placement with it on the server costs 4.6 ms more, with"
        " 1 other operator moved along, and crosses at 'data_0' (602 kB)."
    ) in said
    assert (
        "'op_0' is on the device: it can't be on the server, because it is pinned to the device."
    ) in said
    energy = dataclasses.replace(plan, objective="energy")
    assert any("costs 0.0046 J more" in text for text in texts(describe_plan(energy)))
