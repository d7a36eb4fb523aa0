from pathlib import Path

import pytest

from onnxsplit.errors import UsageError
from onnxsplit.workflows.tables import read_costs, read_factors


def _write(folder: Path, text: str) -> Path:
    path = folder / "table"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "op_type,factor\nConv,2.5\n*,1.5\n",
        "\ufefffactor, op_type\n2.5, Conv\n1.5, *\n",
        '{"Conv": 2.5, "*": 1.5}',
    ],
)
def test_factors_are_read_from_csv_and_json(tmp_path: Path, text: str) -> None:
    table = read_factors(_write(tmp_path, text), "--device-scale")
    assert table.factors == {"Conv": 2.5, "*": 1.5}
    assert table.source.startswith("--device-scale ")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "op_type"),
        ("type,factor\nConv,2\n", "op_type"),
        ("op_type,factor\n", "no factors"),
        ("op_type,factor\nConv,fast\n", "'fast'"),
        ("op_type,factor\nConv,-1\n", "'-1'"),
        ("op_type,factor\nConv,0\n", "positive"),
        ("op_type,factor\nConv,nan\n", "finite"),
        ("op_type,factor\nConv\n", "row 2"),
        ("op_type,factor\nConv,1,2\n", "row 2"),
        ("op_type,factor\nConv,1\nConv,2\n", "twice"),
        ('{"Conv": 1, "Conv": 2}', "twice"),
        ('{"Conv": true}', "number"),
        ('{"Conv": [1]}', "number"),
        ("{", "no JSON"),
        ('op_type,factor\n"Conv,2\n', "no CSV"),
    ],
)
def test_malformed_factors_are_refused(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        read_factors(_write(tmp_path, text), "--server-scale")


def test_costs_are_read_with_their_evidence(tmp_path: Path) -> None:
    text = (
        "operator,device_seconds,server_seconds,evidence\n"
        'conv1,0.002,0.0001,measured\n"odd, name",0.5,1e-3,\n'
    )
    first, second = read_costs(_write(tmp_path, text))
    assert (first.operator, first.seconds) == ("conv1", {"device": 0.002, "server": 0.0001})
    assert (first.evidence, second.evidence) == ("measured", "assumed")
    assert second.operator == "odd, name"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("operator,device_seconds\na,1\n", "server_seconds"),
        ("operator,device_seconds,server_seconds\n", "no operators"),
        ("operator,device_seconds,server_seconds\na,1,soon\n", "server_seconds of 'a'"),
        ("operator,device_seconds,server_seconds\na,-1,1\n", "device_seconds of 'a'"),
        ("operator,device_seconds,server_seconds\na,1,1\na,1,1\n", "'a' twice"),
        ("operator,device_seconds,server_seconds,evidence\na,1,1,rumour\n", "rumour"),
    ],
)
def test_malformed_costs_are_refused(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        read_costs(_write(tmp_path, text))


def test_files_that_cant_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing"):
        read_costs(tmp_path / "nothing.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        read_factors(tmp_path / "binary", "--device-scale")
