"""Pages as text: colours and lines on a terminal, plain ASCII lines elsewhere."""

import io
import os
import shutil
from collections.abc import Mapping
from typing import TextIO

from rich.box import Box
from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.table import Table as RichTable
from rich.text import Text

from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table, Tone
from onnxsplit.reporting.wording import printable

PIPED_WIDTH = 100
"""Columns where nobody says how wide the page is."""

_STYLES: Mapping[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "good": "green",
    "warning": "bold yellow",
    "bad": "bold red",
    "quiet": "dim",
}
_RULED = Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)
"""A rule under the titles and one above the total, in ASCII."""


def render_text(page: Page, *, stream: TextIO) -> str:
    """Render a page for a stream.

    Parameters
    ----------
    page : Page
    stream : text file
        Where it will be written: a terminal gets colours and its own width. ``NO_COLOR`` and
        ``COLUMNS`` are heeded.
    """
    is_terminal = stream.isatty()
    console = Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        width=_width(is_terminal=is_terminal),
        color_system="auto" if is_terminal else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        for place, block in enumerate(page):
            if place and not _is_close(page[place - 1], block):
                console.print()
            _print(console, block)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _width(*, is_terminal: bool) -> int:
    """Choose the page's width."""
    if is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return max(shutil.get_terminal_size().columns, 40)
    return PIPED_WIDTH


def _is_close(above: Block, below: Block) -> bool:
    """Whether two blocks stand without a blank line between them."""
    return isinstance(above, Sentence) and isinstance(below, Sentence) and above.tone == below.tone


def _print(console: Console, block: Block) -> None:
    """Print one block."""
    match block:
        case Sentence(text=text, tone=tone):
            console.print(Text(printable(text), style=_STYLES[tone]))
        case Table():
            console.print(Text(printable(block.title), style="bold"))
            console.print(Padding(_table(block), (0, 0, 0, 2)))
        case Bullets(title=title, items=items):
            console.print(Text(printable(title), style="bold"))
            for item in items:
                line = RichTable.grid(padding=(0, 1))
                line.add_row(Text("  -"), Text(printable(item)))
                console.print(line)


def _table(block: Table) -> RichTable:
    """Build one table."""
    table = RichTable(
        box=_RULED,
        show_footer=block.total is not None,
        header_style=Style(dim=True),
        footer_style=Style(bold=True),
        border_style=Style(dim=True),
        pad_edge=False,
        show_edge=False,
        padding=(0, 1),
    )
    for place, column in enumerate(block.columns):
        _add_column(table, column, "" if block.total is None else block.total[place])
    for row in block.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _add_column(table: RichTable, column: Column, footer: str) -> None:
    """Add a column; only names may be folded, figures never."""
    table.add_column(
        Text(column.title),
        footer=Text(printable(footer)),
        justify=column.alignment,
        no_wrap=not column.is_name,
        overflow="fold",
    )
