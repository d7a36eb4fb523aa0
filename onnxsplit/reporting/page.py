"""A result as a page: sentences, facts, tables and lists, before any renderer dresses them."""

from dataclasses import dataclass
from typing import Literal

from onnxsplit.errors import InternalError

Tone = Literal["plain", "strong", "good", "warning", "bad", "quiet"]
Alignment = Literal["left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A line of prose.

    Parameters
    ----------
    text : str
    tone : str
        How it is meant; renderers choose colours by it.
    """

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A table's column.

    Parameters
    ----------
    title : str
    alignment : str
    is_name : bool
        It holds names of the model, which may be long and hold any character.
    """

    title: str
    alignment: Alignment = "left"
    is_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under titled columns.

    Parameters
    ----------
    title : str
    columns : tuple of Column
    rows : tuple of tuple of str
        Each as long as there are columns.
    total : tuple of str, optional
        A last row that sums the others up.

    Raises
    ------
    InternalError
        A row is shorter or longer than the columns.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse rows that do not fit."""
        for row in (*self.rows, *([] if self.total is None else [self.total])):
            if len(row) != len(self.columns):
                raise InternalError(
                    f"A row of the table {self.title!r} has {len(row)} cells for"
                    f" {len(self.columns)} columns."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullets:
    """A titled list of sentences.

    Parameters
    ----------
    title : str
    items : tuple of str
    """

    title: str
    items: tuple[str, ...]


Block = Sentence | Table | Bullets
Page = tuple[Block, ...]
