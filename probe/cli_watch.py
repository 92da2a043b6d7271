"""What `probe watch` does with its arguments: settings to a watch, its view while it lasts, its reports at the end.

The view goes to standard error, the result to standard output. The report file is tried before the change, not after,
and no report takes the place of another: what is there gets a number before the watch begins.
Nobody waits for whoever reads standard error, and for a terminal that is stopped neither: the report is written first.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import click
from rich.console import Console

from probe import aside, notices
from probe.cli_watch_options import Asked
from probe.model import Ending, Watched
from probe.report import table, watched_html, watched_json, watched_table
from probe.report.board import shown
from probe.report.watched_words import Times, refusal
from probe.service.outfit import UnusableCaFile
from probe.service.vigil.pace import busiest, remarks
from probe.service.vigil.process import Process, ancestors
from probe.service.vigil.run import Done, chosen_of, watch
from probe.settings import Settings
from probe.streams import FAREWELL, Behind, print_result, write_behind
from probe.verdict.watched import conclude


@dataclass(frozen=True, slots=True)
class Voice:
    """Where it is told: a console that draws the result, standard error, and whether a signal has ended us."""

    console: Console
    log: Behind
    is_over: Callable[[], bool]


def tell_behind(console: Console, is_over: Callable[[], bool]) -> Voice:
    """From here on nobody waits until standard error is read: before anything is told at all."""
    return Voice(console, write_behind(_tell_lost), is_over)


def watch_and_tell(settings: Settings, paths: tuple[str, ...], asked: Asked, voice: Voice) -> int:
    """Watch until it is over and tell it; the exit code."""
    if asked.wanted.process is not None:
        look_at_process(asked.wanted.process)
    report = None if asked.report is None else _place_for(asked.report)
    most = settings.schedule.max_sessions_per_minute
    for remark in remarks(asked.wanted, most, busiest(chosen_of(settings, paths))):
        click.echo(f"probe: {remark}", err=True)
    zone = datetime.fromtimestamp(time.time()).astimezone().tzinfo or UTC
    with shown(sys.stderr, Times(zone), lambda: voice.log.waits) as show:
        try:
            done = aside.run(watch(settings, paths, asked.wanted, show))
        except UnusableCaFile as error:
            raise click.ClickException(f"{error}") from error
    times = Times(zone, done.shift)
    conclusion = conclude(done.watched)
    written = None if report is None else write_report(done.watched, times, report)
    voice.log.drain(FAREWELL)  # a board is taken away before the result takes its place
    print_result(_result(done, times, asked.form, voice.console), voice.is_over)
    if done.watched.ending is Ending.BASELINE:
        click.echo(f"probe: {refusal(done.watched)}", err=True)
    if written is not None:
        click.echo(f"probe: {written}", err=True)
    return conclusion.severity.exit_code


def look_at_process(number: int) -> None:
    """Whether it can be waited for. click.UsageError if not; a notice where it may wait for this one."""
    if not Process(number).lives:
        raise click.UsageError(f"--while {number}: there is no such process on this machine")
    if number == os.getpid():
        raise click.UsageError(f"--while {number}: that is this watch, and it would wait for its own end")
    if number in ancestors(os.getpid()):
        click.echo(f"probe: process {number} (--while) began this watch: if it waits for it, neither ends", err=True)


def _place_for(report: Path) -> Path:
    """Where it will be written; what is there already is moved beside it. click.UsageError if it cannot be written.

    A FIFO would hold this up until somebody reads it: none is opened.
    """
    try:
        if report.exists() and not (report.is_file() or report.is_char_device() or report.is_dir()):
            raise click.UsageError(f"--report {report}: neither a regular file nor a character device; name a file")
        with report.open("a", encoding="utf-8"):  # says of a directory what it is
            pass
        place = report.resolve() if report.is_file() else report
        if place.is_file() and place.stat().st_size:
            click.echo(f"probe: {place} was there already, and is kept as {_moved_aside(place)}", err=True)
    except OSError as error:
        raise click.UsageError(f"--report {report}: {error.strerror}") from None
    return place


def _moved_aside(report: Path) -> Path:
    """Its new name, with a number: the higher, the later."""
    named = (report.with_name(f"{report.stem}.{number}{report.suffix}") for number in count(1))
    kept = next(name for name in named if not os.path.lexists(name))
    return report.rename(kept)


def write_report(watched: Watched, times: Times, report: Path) -> str:
    """What became of it. Another watch may have written there meanwhile."""
    try:
        if report.is_file() and report.stat().st_size:
            click.echo(f"probe: {report} is another watch's, and is kept as {_moved_aside(report)}", err=True)
        _write_whole(watched_html.render(watched, times), report)
    except OSError as error:
        return f"the report could not be written to {report}: {error.strerror}"
    return f"the report is in {report}"


def _write_whole(page: str, report: Path) -> None:
    """All of it or nothing: half a page would look like one. A device gets it as it comes."""
    if report.exists() and not report.is_file():
        report.write_text(page, encoding="utf-8")
        return
    beside = report.with_name(f".{report.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(report)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def _tell_lost(lines: int) -> None:
    notices.warn("lines are missing here: nobody read them in time", lines=lines)


def _result(done: Done, times: Times, form: str, console: Console) -> str:
    if form == "json":
        return watched_json.render(done.watched, shift=times.shift) + "\n"
    with console.capture() as drawn:  # rich itself exits with 1 where a pipe is closed
        if done.watched.ending is Ending.BASELINE and done.baseline.results:
            table.render(done.baseline, console)
        watched_table.render(done.watched, console, times)
    return drawn.get()
