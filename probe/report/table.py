"""A round as a table for people, with what each bad verdict means and what to do next below it."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from probe.model import MaskedBy, Result, Round, Severity
from probe.report.headline import headline, outcome
from probe.report.rows import Row, Rows

STYLES = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red", Severity.UNKNOWN: "magenta"}
MARKS = {Severity.OK: "✓", Severity.WARNING: "!", Severity.CRITICAL: "✗", Severity.UNKNOWN: "?"}

HEADINGS = ("path", "service", "verdict", "seen as", "link", "seconds")


def render(done: Round, console: Console) -> None:
    """Print the table to a console of the caller's."""
    console.print(as_renderable(done))


def as_renderable(done: Round) -> RenderableType:
    """The table, the explanations, and one closing line."""
    table = Rows(HEADINGS, [_row(result) for result in done.results])
    style = STYLES[done.severity]
    closing = Text(f"{done.severity.upper()}: {headline(done)} ({done.seconds:.1f} s)", style=style)
    return Group(table, *_remarks(done), Text(), closing)


def _row(result: Result) -> Row:
    session, judgement = result.session, result.judgement
    severity = judgement.verdict.severity
    seen = ", ".join(sorted({str(sighting.address) for sighting in result.evidence.sightings}))
    links = ", ".join(dict.fromkeys(str(sighting.link) for sighting in result.evidence.sightings))
    verdict = Text(f"{MARKS[severity]} {outcome(judgement)}", style=STYLES[severity])
    seconds = f"{session.seconds:.2f}"
    cells = (Text(session.path), Text(session.service), verdict, Text(seen or "-"), Text(links or "-"), Text(seconds))
    more = Text(f"seen as {seen} by {links}, {seconds} s" if seen else f"{seconds} s")
    return Row(cells, (Text(f"{session.path}/{session.service}"), verdict, more))


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
