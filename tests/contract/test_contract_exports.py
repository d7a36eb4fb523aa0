"""``export``: what it prints, what it refuses, and how."""

from pathlib import Path

import pytest

from tests.contract.workshop import Command, Workshop


def test_an_export_is_printed_as_the_document_that_it_stores(
    command: Command, workshop: Workshop, tmp_path: Path
) -> None:
    finished = command(
        "export", workshop.bundle, "--to", "triton", "-o", "repo", "--format", "json",
        folder=tmp_path,
    )  # fmt: skip
    assert finished.code == 0, finished.err
    document = finished.document()
    assert document["folder"] == "repo"
    assert [model["name"] for model in document["models"]] == ["net", "onnxsplit_probe"]
    assert all((tmp_path / "repo" / name).is_file() for name in document["files"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--to", "openvino", "--accelerator", "tensorrt"], "can't run models on 'tensorrt'"),
        (["--to", "triton", "--dynamic-batching"], "does not suit 'net'"),
        (["--to", "triton", "--tier", "edge"], "no stage 'edge'"),
        (["--to", "triton", "--instances", "0"], "the least is 1"),
        (["--to", "torchserve"], "torchserve"),
    ],
)
def test_bad_wishes_are_refused_in_a_sentence_and_nothing_is_written(
    command: Command, workshop: Workshop, tmp_path: Path, words: list[str], problem: str
) -> None:
    finished = command(
        "export", workshop.bundle, "-o", "repo", "--format", "json", *words, folder=tmp_path
    )
    assert finished.code == 2
    assert problem in finished.error()["message"]
    assert "Traceback" not in finished.err
    assert list(tmp_path.iterdir()) == []
