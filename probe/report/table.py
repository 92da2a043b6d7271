"""A round as a table for people, with what each bad verdict means and what to do next below it."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from probe.model import MaskedBy, Result, Round, Severity
from probe.report.headline import headline, outcome

STYLES = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red", Severity.UNKNOWN: "magenta"}
MARKS = {Severity.OK: "✓", Severity.WARNING: "!", Severity.CRITICAL: "✗", Severity.UNKNOWN: "?"}


def render(done: Round, console: Console) -> None:
    """Print the table to a console of the caller's."""
    console.print(as_renderable(done))


def as_renderable(done: Round) -> RenderableType:
    """The table, the explanations, and one closing line."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("path", "service", "verdict", "seen as", "link"):
        table.add_column(heading, no_wrap=heading != "seen as")
    table.add_column("seconds", justify="right", no_wrap=True)
    for result in done.results:
        table.add_row(*_cells(result))
    style = STYLES[done.severity]
    closing = Text(f"{done.severity.upper()}: {headline(done)} ({done.seconds:.1f} s)", style=style)
    return Group(table, *_remarks(done), Text(), closing)


def _cells(result: Result) -> tuple[Text, ...]:
    session, judgement = result.session, result.judgement
    severity = judgement.verdict.severity
    seen = sorted({str(sighting.address) for sighting in result.evidence.sightings})
    links = dict.fromkeys(str(sighting.link) for sighting in result.evidence.sightings)
    return (
        Text(session.path),
        Text(session.service),
        Text(f"{MARKS[severity]} {outcome(judgement)}", style=STYLES[severity]),
        Text(", ".join(seen) or "-"),
        Text(", ".join(links) or "-"),
        Text(f"{session.seconds:.2f}"),
    )


def _remarks(done: Round) -> list[Text]:
    """What each bad verdict means and what to do; services of a path that fail alike share one remark."""
    alike: dict[tuple[str, str, MaskedBy | None, str | None], list[Result]] = {}
    for result in done.results:
        judgement = result.judgement
        if judgement.verdict.severity is not Severity.OK or judgement.doubt or judgement.cause:
            kind = (result.session.path, judgement.rule, judgement.masked_by, judgement.cause)
            alike.setdefault(kind, []).append(result)
    return [line for results in alike.values() for line in _remark(results)]


def _remark(results: list[Result]) -> list[Text]:
    judgement = results[0].judgement
    services = ", ".join(result.session.service for result in results)
    name = Text(f"{results[0].session.path}: {services}", style=STYLES[judgement.verdict.severity])
    cause = [Text(f"  Cause: {judgement.cause}", style="bold")] if judgement.cause else []
    return [Text(), name, Text(f"  {judgement.explanation}"), *cause, Text(f"  → {judgement.hint}", style="italic")]
