"""Rows of a table for people, a few lines each where their columns do not fit: a time or a verdict is never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WRAPPING = ("clients' addresses", "what it was", "at the end", "seen as")
"""Columns that may break between words; all others stay on one line."""

RIGHT = ("seconds",)
BETWEEN = 2
INDENT = 2


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row; and the lines that say the same, the first of which names it."""

    cells: tuple[Text, ...]
    lines: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows below their headings."""

    headings: tuple[str, ...]
    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As a table if its columns fit."""
        if self._columns() <= options.max_width:
            yield self._table()
        else:
            yield from self._lines()

    def _columns(self) -> int:
        widths = [
            _needed(heading, [row.cells[number].plain for row in self.rows])
            for number, heading in enumerate(self.headings)
        ]
        return sum(widths) + BETWEEN * (len(widths) - 1)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, BETWEEN, 0, 0))
        for heading in self.headings:
            table.add_column(heading, no_wrap=heading not in WRAPPING, justify="right" if heading in RIGHT else "left")
        for row in self.rows:
            table.add_row(*row.cells)
        return table

    def _lines(self) -> Iterator[Text | Padding]:
        for row in self.rows:
            name, *more = row.lines
            yield name
            yield from (Padding(line, (0, 0, 0, INDENT), expand=False) for line in more)


def _needed(heading: str, cells: Sequence[str]) -> int:
    """Columns for the longest text, or for the longest word where it may break."""
    texts = (heading, *cells)
    return max(len(part) for text in texts for part in (text.split() or [""] if heading in WRAPPING else [text]))
