"""The page of one session: its verdict, how it came about, and all that was said and seen.

It is written from a record (report.record), for the history keeps those too. What an older version wrote down, or a
damaged file holds, may lack anything, so nothing is taken for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from probe.model import Severity, Verdict
from probe.report.markup import NOTHING, Html, element, html, prose
from probe.service.web.layout import Frame, badge, moment, page, scrolling, section, session_link, table
from probe.service.web.records import Record
from probe.service.web.site import Site
from probe.service.web.status import words_of
from probe.verdict.judge import RULES

WIDTH = 1000
NEIGHBOURS = 12
MOST_LINES = 500
GONE = "That is not kept any more: failures keep it longer than successes."


def session_page(site: Site, record: Record) -> str:
    """The whole document."""
    severity = _severity(record)
    words = words_of(str(record.get("verdict")), _text(record, "masked_by") or None)
    name = f"{record.get('path')} {record.get('service')}"
    parts = PARTS if record.get("rule") else (_rest,)
    main = html(_verdict(record, severity, words, name), [part(record) for part in parts], _neighbours(site, record))
    title = f"{words}: {name} – mailprobe"
    return page(title, main, Frame(vantage=site.station.settings.vantage.name, severity=severity, now=site.now()))


def _verdict(record: Record, severity: Severity, words: str, name: str) -> Html:
    opened = _moment(record.get("opened"))
    cause, doubt, hint = (_text(record, key) for key in ("cause", "doubt", "hint"))
    return element(
        "section",
        element("p", element("a", "← Status", href="/"), class_="back"),
        element("h1", badge(severity, words), " ", element("span", name, class_="where")),
        element("p", prose(_text(record, "explanation")), class_="explanation"),
        element("p", element("b", "Cause: "), prose(cause), class_="cause") if cause else None,
        element("p", element("b", "Mind: "), prose(doubt), class_="cause") if doubt and doubt != cause else None,
        element("p", element("b", "Next: "), prose(hint), class_="hint") if hint else None,
        element("p", "Session opened ", opened, class_="below") if opened else None,
        class_=f"card verdict {severity}",
        id="verdict",
    )


def _rest(record: Record) -> Html:  # noqa: ARG001 - a part's form
    return section("What led to it", element("p", GONE, class_="calm"), identity="gone")


def _facts(record: Record) -> Html:
    client = record.get("client")
    own = f"{client.get('address')} port {client.get('port')}" if isinstance(client, Mapping) else "no socket"
    seen = ", ".join(map(str, _list(record, "seen"))) or ", ".join(
        dict.fromkeys(str(one.get("address")) for one in _mappings(record, "sightings"))
    )
    where = f"{record.get('address') or record.get('host')} port {record.get('port')}"
    pairs: list[tuple[str, Html | str | None]] = [
        ("Session", _text(record, "id")),
        ("Connected to", where if record.get("address") == record.get("host") else f"{where} ({record.get('host')})"),
        ("From", own),
        ("Expected to be seen as", ", ".join(map(str, _list(record, "expected"))) or None),
        ("Seen as", seen or "nothing was seen that is certain"),
        ("Took", _seconds(record.get("seconds"))),
        ("Failed in", _text(record, "failed_phase") or None),
        ("Because", _text(record, "fault") or None),
        ("Certificate expires", _moment(record.get("certificate_expiry"))),
        ("Extra connections", str(record.get("beats")) if record.get("beats") else None),
    ]
    rows = [html(element("dt", name), element("dd", value)) for name, value in pairs if value]
    return section("Facts", element("dl", rows, class_="facts"), identity="facts")


def _phases(record: Record) -> Html:
    phases = [(str(one.get("phase")), _number(one.get("seconds"))) for one in _mappings(record, "phases")]
    if not phases:
        return NOTHING
    whole = sum(seconds for _, seconds in phases) or 1.0
    before, rows = 0.0, []
    for name, seconds in phases:
        failed = name == record.get("failed_phase")
        rows.append(_phase(name, seconds, (before / whole, seconds / whole), failed=failed))
        before += seconds
    headings = ("phase", "time", "when")
    return section("Phases", table("Phases in the order they ran", headings, rows, class_="phases"), identity="phases")


def _phase(name: str, seconds: float, bar: tuple[float, float], *, failed: bool) -> Html:
    start, part = bar
    width = max(part * WIDTH, 4.0)
    drawn = element(
        "svg",
        element(
            "rect",
            x=f"{min(start * WIDTH, WIDTH - width):.1f}",
            y=0,
            width=f"{width:.1f}",
            height=12,
            class_="critical" if failed else "bar",
        ),
        viewBox=f"0 0 {WIDTH} 12",
        preserveAspectRatio="none",
        class_="phase",
        aria_hidden="true",
    )
    words = html(name.replace("_", " "), element("b", " failed", class_="failed") if failed else None)
    return element(
        "tr",
        element("th", words, scope="row"),
        element("td", _seconds(seconds), class_="number"),
        element("td", drawn, class_="drawn"),
    )


def _transcript(record: Record) -> Html:
    spoken = [one for one in _list(record, "transcript") if isinstance(one, Sequence) and len(one) == 3]
    if not spoken:
        return section("Transcript", element("p", "Nothing was said.", class_="calm"), identity="transcript")
    lines = [_spoken(*one) for one in spoken[:MOST_LINES]]
    left_out = len(spoken) - len(lines)
    more = element("p", f"{left_out} more lines: see the JSON of this session.") if left_out > 0 else None
    made = element("ol", lines, class_="transcript")
    whole = element("p", element("a", "This session as JSON", href=f"/api/v1/sessions/{_text(record, 'id')}"))
    scrolled = scrolling(made, "Transcript of the session")
    return section("Transcript", scrolled, more, whole, identity="transcript")


def _spoken(seconds: object, who: object, text: object) -> Html:
    ours = who == "client"
    return element(
        "li",
        element("span", f"{_number(seconds):.3f}", class_="at"),
        element("span", "C" if ours else "S", class_="who", title="client" if ours else "server"),
        element("code", str(text), dir="ltr"),
        class_="ours" if ours else "theirs",
    )


def _sightings(record: Record) -> Html:
    rows = [
        element(
            "tr",
            element("th", str(one.get("address")), scope="row"),
            element("td", str(one.get("link"))),
            element("td", str(one.get("source")), " ", _moment(one.get("at"))),
            element("td", element("code", str(one.get("line")), dir="ltr")),
        )
        for one in _mappings(record, "sightings")
    ]
    reasons = [element("li", str(one)) for one in _list(record, "reasons")]
    why = element("ul", reasons) if reasons else None
    if not rows:
        none = element("p", "Nothing is certain to be of this session." + (" Why:" if reasons else ""))
        return section("What the server saw", none, why, identity="sightings")
    headings = ("seen as", "link", "source", "line")
    return section("What the server saw", table("Sightings", headings, rows), why, identity="sightings")


def _signs(record: Record) -> Html:
    rows = [
        element(
            "tr",
            element("th", str(one.get("sign")).replace("_", " "), scope="row"),
            element("td", str(one.get("source")), " ", _moment(one.get("at"))),
            element("td", element("code", str(one.get("line")), dir="ltr")),
        )
        for one in _mappings(record, "signs")
    ]
    if not rows:
        return NOTHING
    said = "Fault lines of the time of this session; whose they are is not certain."
    headings = ("sign", "source", "line")
    return section("Signs in the log", element("p", said), table("Fault lines", headings, rows), identity="signs")


def _controls(record: Record) -> Html:
    rows = [
        element(
            "tr",
            element("th", str(one.get("kind")).replace("_", " "), scope="row"),
            element("td", "worked" if one.get("worked") else "did not work"),
            element("td", _seconds(one.get("seconds")), class_="number"),
            element("td", str(one.get("fault") or "")),
        )
        for one in _mappings(record, "controls")
    ]
    if not rows:
        return NOTHING
    headings = ("connection", "outcome", "time", "why")
    made = table("Control connections", headings, rows)
    return section("Second connections", made, identity="controls")


def _rules(record: Record) -> Html:
    """The rule that fired, in its place among all: the first that holds wins."""
    name = str(record.get("rule"))
    names = [rule.name for rule in RULES]
    found = next((rule for rule in RULES if rule.name == name), None)
    if found is None:
        told = element("p", "The rule ", element("code", name), " decided; this version has it no more.")
        return section("The rule that fired", told, identity="rule")
    place = names.index(name) + 1
    decided = f", the {_ordinal(place)} of {len(names)}; the first that holds decides."
    told = element("p", element("code", name), decided)
    before = f"The {place - 1} before it did not hold." if place > 1 else "None comes before it."
    rows = [
        element("li", one.name, " → ", words_of(one.verdict, None), aria_current="true" if one is found else None)
        for one in RULES
    ]
    summary = element("summary", "All rules in order")
    every = element("details", summary, element("ol", rows, class_="rules"), id="rules")
    return section("The rule that fired", told, element("p", before), every, identity="rule")


def _neighbours(site: Site, record: Record) -> Html:
    identity = _text(record, "id")
    account = next(
        (
            one
            for one in site.station.ledger.accounts.values()
            if (one.endpoint.path, one.endpoint.service, one.endpoint.port)
            == (record.get("path"), record.get("service"), record.get("port"))
        ),
        None,
    )
    kept = [one for one in account.sessions() if one.session.id != identity][:NEIGHBOURS] if account else []
    if not kept:
        return NOTHING
    rows = []
    for one in kept:
        judgement = one.judgement
        said = badge(judgement.verdict.severity, words_of(judgement.verdict, judgement.masked_by))
        opened = moment(site.wall(one.session.opened))
        rows.append(element("li", session_link(one.session.id, said, " ", opened)))
    return section("Other sessions of this endpoint", element("ul", rows, class_="others"), identity="others")


def _severity(record: Record) -> Severity:
    try:
        return Verdict(str(record.get("verdict"))).severity
    except ValueError:
        return Severity.UNKNOWN


def _moment(value: object) -> Html | None:
    try:
        return moment(datetime.fromisoformat(str(value)).timestamp()) if value else None
    except (ValueError, OverflowError, OSError):
        return None


def _seconds(value: object) -> str:
    number = _number(value)
    return f"{number:.2f} s" if number >= 1 else f"{number * 1000:.1f} ms"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    return str(value) if value is not None else ""


def _list(record: Record, key: str) -> Sequence[object]:
    value = record.get(key)
    return value if isinstance(value, list | tuple) else ()


def _mappings(record: Record, key: str) -> list[Mapping[str, object]]:
    return [one for one in _list(record, key) if isinstance(one, Mapping)]


def _ordinal(number: int) -> str:
    """A place in a row.

    >>> _ordinal(1), _ordinal(12), _ordinal(22)
    ('1st', '12th', '22nd')
    """
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


PARTS: tuple[Callable[[Record], Html], ...] = (
    _facts,
    _sightings,
    _signs,
    _phases,
    _transcript,
    _controls,
    _rules,
)
"""What led to a verdict, in order. Of a session whose record is gone only the verdict is known."""
