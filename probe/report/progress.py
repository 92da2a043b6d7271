"""What a round is doing right now, on a terminal and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from probe.model import Endpoint, EndpointName, Verdict

STAGES = {
    "session": "opening a session",
    "evidence": "waiting for the server's log",
    "rhythm": "knocking a rhythm",
}


@contextmanager
def shown_progress(stream: TextIO) -> Iterator[Callable[[Endpoint, str], None]]:
    """A progress function; it draws one line per endpoint while the block runs, and takes them away again."""
    if not stream.isatty():
        yield lambda _endpoint, _stage: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    stages: dict[EndpointName, str] = {}

    def drawn() -> Table:
        grid = Table.grid(padding=(0, 2))
        for name, stage in stages.items():
            done = stage in list(Verdict)
            mark = Text(" ") if done else Spinner("dots")
            grid.add_row(mark, Text(str(name)), Text(STAGES.get(stage, stage), style="dim"))
        return grid

    with Live(drawn(), console=Console(file=stream), transient=True, refresh_per_second=8) as live:

        def progress(endpoint: Endpoint, stage: str) -> None:
            stages[endpoint.name] = stage
            live.update(drawn())

        yield progress
