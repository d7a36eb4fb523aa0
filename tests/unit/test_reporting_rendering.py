import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxsplit.reporting.markdown import code, escape, render_markdown
from onnxsplit.reporting.page import Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.text import PIPED_WIDTH, render_text
from onnxsplit.reporting.wording import (
    printable,
    word_bytes,
    word_duration,
    word_factor,
    word_names,
    word_ratio,
    word_shape,
    word_share,
)

PAGE: Page = (
    Sentence(text="Careful.", tone="warning"),
    Table(
        title="Figures",
        columns=(Column(title="name", is_name=True), Column(title="time", alignment="right")),
        rows=(("a|b [bold]x[/bold]", "1 ms"), ("c", "12 ms")),
        total=("total", "13 ms"),
    ),
    Bullets(title="Notes", items=("one", "two")),
)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def make_names_page(name: str) -> Page:
    columns = (Column(title="tensor", is_name=True), Column(title="bytes", alignment="right"))
    return (Table(title="t", columns=columns, rows=((name, "123456 MB"),)),)


def test_piped_text_is_plain_ascii() -> None:
    text = render_text(PAGE, stream=io.StringIO())
    assert text == (
        "Careful.\n"
        "\n"
        "Figures\n"
        "  name                  time\n"
        "  --------------------------\n"
        "  a|b [bold]x[/bold]    1 ms\n"
        "  c                    12 ms\n"
        "  --------------------------\n"
        "  total                13 ms\n"
        "\n"
        "Notes\n"
        "  - one\n"
        "  - two\n"
    )


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;33mCareful." in render_text(PAGE, stream=Screen())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "33m" not in render_text(PAGE, stream=Screen())


@pytest.mark.parametrize("width", [80, 100, 120])
def test_figures_stay_whole_and_names_fold_at_any_width(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    name = "/features/" + "block/" * 60 + "Conv_output_0"
    text = render_text(make_names_page(name), stream=io.StringIO())
    assert max(map(len, text.splitlines())) <= width
    assert "123456 MB" in text
    cells = [line.replace("123456 MB", "").strip() for line in text.splitlines()[3:]]
    assert "".join(cells) == name


def test_a_pipe_has_a_width_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    text = render_text(make_names_page("n" * 300), stream=io.StringIO())
    assert max(map(len, text.splitlines())) <= PIPED_WIDTH


@given(st.text())
def test_no_name_moves_the_cursor_or_breaks_the_line(name: str) -> None:
    assert printable(name).isprintable()


@given(st.text(min_size=1))
def test_no_name_breaks_out_of_its_markdown_cell(name: str) -> None:
    lines = render_markdown(make_names_page(name)).splitlines()
    assert len(lines) == 5
    fence = len(code(name)) - len(code(name).lstrip("`"))
    assert "`" * fence not in printable(name)


def test_markdown_marks_what_it_means() -> None:
    assert render_markdown(PAGE) == (
        "> **Careful.**\n"
        "\n"
        "**Figures**\n"
        "\n"
        "| name | time |\n"
        "| :--- | ---: |\n"
        "| `a\\|b [bold]x[/bold]` | 1 ms |\n"
        "| `c` | 12 ms |\n"
        "| **total** | **13 ms** |\n"
        "\n"
        "**Notes**\n"
        "\n"
        "- one\n"
        "- two\n"
    )


def test_markdown_escapes_markup_in_sentences() -> None:
    assert escape("<b> *a* _b_ [c](d) `e` ~f~ &lt;") == (
        "\\<b> \\*a\\* \\_b\\_ \\[c\\](d) \\`e\\` \\~f\\~ \\&lt;"
    )


def test_numbers_read_well() -> None:
    assert word_duration(float("inf")) == "-"
    assert word_bytes(0) == "0 B"
    assert word_shape(()) == "[]"
    assert word_shape(None) == "?"
    assert word_share(0.0, 0.0) == "-"
    assert word_share(0.0, 1.0) == "0.0 %"
    assert word_share(1e-9, 1.0) == "< 0.1 %"
    assert word_ratio(0.0, 1.0) == "-"
    assert word_ratio(1.0, 1.0049) == "as fast"
    assert word_factor(99.96) == "100x"
    assert word_names(["a\n"]) == "'a\\n'"
