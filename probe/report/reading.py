"""How far the reading of saved logs is, on a terminal and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def shown_reading(stream: TextIO, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A progress function for octets and lines; `total` octets, or None where there is no telling."""
    if not stream.isatty():
        yield lambda _octets, _lines: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%" if total else ""),
        TextColumn("{task.fields[lines]:,} lines"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("reading", total=total, lines=0)
        yield lambda octets, lines: bar.update(task, completed=octets, lines=lines)
