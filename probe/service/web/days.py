"""The last day of every endpoint on the status page: its strip, and how much of it was well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probe.model import Severity
from probe.report.markup import Html, element, html
from probe.report.text import counted, span
from probe.service.ledger import Account
from probe.service.web import timeline
from probe.service.web.layout import section

FEW = 24
"""Endpoints whose strips are all shown; of more, only those whose day was not all well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """The last day of one endpoint, written. `is_calm`: it was well whenever somebody looked."""

    is_calm: bool
    written: Html


def days_section(days: Sequence[Day]) -> Html:
    """The last day of every endpoint."""
    shown = [day for day in days if len(days) <= FEW or not day.is_calm]
    calm = [day for day in days if len(days) > FEW and day.is_calm]
    more = None
    if calm:
        summary = element("summary", f"{counted(len(calm), 'endpoint')} more, preserved whenever looked at")
        more = element("details", summary, _strips(calm), id="calm")
    title = "The last day"
    return section(title, _strips(shown) if shown else None, more, _legend(), identity="days")


def _strips(days: Sequence[Day]) -> Html:
    scale = [element("span", words) for words in ("24 h ago", "18 h", "12 h", "6 h", "now")]
    strips = element("ul", [day.written for day in days], class_="days")
    return html(strips, element("p", scale, class_="scale", aria_hidden="true"))


def day_of(account: Account, now: float) -> Day:
    """The last day of one. `now`: on the probe's clock."""
    day = timeline.stretches(account, now)
    part = timeline.share(day)
    written = element(
        "li",
        element("span", str(account.endpoint), class_="name"),
        timeline.strip(str(account.endpoint), day),
        _part(part, timeline.known(day)),
    )
    return Day(is_calm=part == 1.0, written=written)


def _part(part: float | None, known: float) -> Html:
    """Its words are the strip's for whoever does not see it."""
    if part is None:
        return element("span", "–", class_="part", aria_hidden="true")
    of = element("span", f"of {span(known)}", class_="known") if known < timeline.WHOLE else None
    return element("span", timeline.percentage(part), " preserved", of, class_="part", aria_hidden="true")


def _legend() -> Html:
    meanings = (
        (Severity.OK, "preserved"),
        (Severity.UNKNOWN, "unverified"),
        (Severity.WARNING, "warning"),
        (Severity.CRITICAL, "outage"),
    )
    return element(
        "ul", [element("li", words, class_=str(one)) for one, words in meanings], class_="legend", aria_hidden="true"
    )
