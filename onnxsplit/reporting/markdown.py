"""Pages as GitHub-flavoured Markdown, for the summaries of CI jobs."""

import re

from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import printable

_SPECIAL = re.compile(r"([\\`*_\[\]<|~&])")
_ALIGNMENTS = {"left": ":---", "right": "---:"}


def render_markdown(page: Page) -> str:
    """Render a page as Markdown."""
    return "\n\n".join(_render(block) for block in page) + "\n"


def _render(block: Block) -> str:
    """Render one block."""
    match block:
        case Sentence(text=text, tone=tone):
            return _sentence(escape(text), tone)
        case Bullets(title=title, items=items):
            lines = "\n".join(f"- {escape(item)}" for item in items)
            return f"**{escape(title)}**\n\n{lines}"
        case Table():
            return _table(block)


def _sentence(text: str, tone: str) -> str:
    """Mark a sentence by its tone."""
    match tone:
        case "warning" | "bad":
            return f"> **{text}**"
        case "strong" | "good":
            return f"**{text}**"
        case _:
            return text


def _table(block: Table) -> str:
    """Render one table; the total is its last row."""
    titles = " | ".join(escape(column.title) for column in block.columns)
    rule = " | ".join(_ALIGNMENTS[column.alignment] for column in block.columns)
    rows = [_row(row, block.columns) for row in block.rows]
    if block.total is not None:
        rows.append(
            " | ".join(f"**{escape(cell)}**" if cell.strip() else "" for cell in block.total)
        )
    lines = "\n".join(f"| {line} |" for line in (titles, rule, *rows))
    return f"**{escape(block.title)}**\n\n{lines}"


def _row(row: tuple[str, ...], columns: tuple[Column, ...]) -> str:
    """Render one row; names are code."""
    return " | ".join(
        code(cell) if column.is_name and cell else escape(cell)
        for cell, column in zip(row, columns, strict=True)
    )


def escape(text: str) -> str:
    r"""Escape what Markdown would take as markup.

    Examples
    --------
    >>> escape("a|b [c]")
    'a\\|b \\[c\\]'
    """
    return _SPECIAL.sub(r"\\\1", printable(text))


def code(text: str) -> str:
    r"""Put a name into a code span that a table can hold.

    Examples
    --------
    >>> code("a|b")
    '`a\\|b`'
    """
    plain = printable(text)
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{padding}{plain.replace('|', chr(92) + '|')}{padding}{fence}"
