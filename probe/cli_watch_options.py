"""The options of `probe watch`. Nothing heavy is loaded: `probe --version` reads this too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from probe.model import Wanted

OPTIONS = (
    click.option("--path", "paths", multiple=True, metavar="NAME", help="Only this path; may be repeated."),
    click.option(
        "--interval",
        type=click.FloatRange(min=0.2, max=60),
        default=0.2,
        show_default=True,
        metavar="S",
        help="Seconds between two knocks at an endpoint; servers do not count them (docs/watch.md).",
    ),
    click.option(
        "--until-stable",
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="End when all endpoints have been ok for so long, or nothing has changed for minutes.",
    ),
    click.option(
        "--max-outage",
        type=click.FloatRange(min=0),
        metavar="S",
        help="Tolerate outages up to so long; fail at once past it. Without it any outage is critical.",
    ),
    click.option(
        "--while",
        "process",
        type=click.IntRange(min=1, max=2**22),
        metavar="PID",
        help="The process that makes the change: --until-stable counts only once it has ended.",
    ),
    click.option("--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Also write a report to keep."),
    click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True),
    click.option("--from-broken", is_flag=True, help="Watch even what is broken before anything is changed."),
    click.option(
        "--no-limit", is_flag=True, help="Leave max_sessions_per_minute aside: only where servers exempt this machine."
    ),
)
FINITE = ("interval", "until_stable", "max_outage")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of the watch, the report file, `table` or `json`."""

    wanted: Wanted
    report: Path | None
    form: str


def watch_options(command: Callable[..., None]) -> Callable[..., None]:
    """All of them, in their order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def asked_for(*, report: Path | None, form: str, **wanted: Any) -> Asked:
    """The arguments as values. click.UsageError where one is no number."""
    from probe.model import Wanted  # noqa: PLC0415 - see above

    for name in FINITE:
        if wanted[name] is not None and not math.isfinite(wanted[name]):
            raise click.UsageError(f"--{name.replace('_', '-')} takes a number of seconds")
    if wanted["process"] is not None and wanted["until_stable"] is None:
        raise click.UsageError("--while says from when on --until-stable counts: give both")
    return Asked(Wanted(**wanted), report, form)
