r"""A page of metrics -> Dovecot's count of successful logins, or why there is none. Pure.

    dovecot_auth_success_total 892                                      Dovecot's own page, 2.3 and 2.4
    dovecot_auth_by_user_total{user="probe@example.org",success="yes"} 3    grouped, beside dovecot_auth_by_user_count
    dovecot_global_num_logins 1.7149e+04                                dovecot_exporter on the old statistics

- Dovecot has no metrics of its own choice: names follow the user's `metric` blocks. KNOWN lists those people use, the
  most telling first; the configuration may name another.
- One series without labels is the count. Where there are only series with labels, those with the fewest are its parts:
  Dovecot writes every level of a `group_by` (per user, and again per user and result), and to add them all would count
  twice.
- Only whole lines count: half a number is another number. A broken line costs itself, never the page, which is why
  prometheus-client's parsers do not serve here: they give up a page for one bad line.
- A count is finite and not negative. The same series twice with different numbers is none.
- Growth is known only between two pages of the same run of the same server.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

KNOWN = (
    "dovecot_auth_successes_total",  # Dovecot's recommended metrics; 2.4 has them by `@metric_defaults`
    "dovecot_auth_success_total",  # the example in Dovecot's documentation
    "dovecot_global_num_logins",  # dovecot_exporter --dovecot.scopes=global: sessions of IMAP and POP3
    "dovecot_global_auth_successes",  # the same; stays 0 without `auth_stats = yes`
    "dovecot_domain_num_logins",
    "dovecot_user_num_logins",  # dovecot_exporter as it comes
    "dovecot_user_auth_successes",
)
"""Login counters by name, the most telling first; one that has never counted comes after one that has."""

LONGEST_LINE = 8192
MOST_SERIES = 20_000
SHOWN_NAMES = 6

_START = "process_start_time_seconds"
_RESET = "dovecot_global_reset_timestamp"
_OWN_PAGE = "dovecot_build_info"
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}+"
# Possessive throughout (*+): a page must not choose how long its reading takes.
_QUOTED = r'"(?>(?:[^"\\]|\\.)*)"'
_LABEL = re.compile(rf"[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+({_QUOTED})[ \t]*+(?:,|\Z)")
_SELECTOR = re.compile(rf"({_NAME})[ \t]*+(?:\{{(.*)\}})?")
_SAMPLE = re.compile(
    rf"({_NAME})[ \t]*+(?:\{{((?>(?:[^\"}}]|{_QUOTED})*))\}}[ \t]*+)?([^ \t{{}}]++)"
    r"(?:[ \t]++-?[0-9.eE+]++)?(?:[ \t]++\#.*+)?[ \t]*+"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_ESCAPED = re.compile(r"\\(.)")
_ANY_NAME = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]{0,199})[{ \t]", re.M)

Labels = frozenset[tuple[str, str]]
NO_LABELS: Labels = frozenset()


@dataclass(frozen=True, slots=True)
class Selector:
    """A counter by its name, and by labels its series must have."""

    name: str
    labels: Labels = NO_LABELS

    def __str__(self) -> str:
        inner = ",".join(f'{name}="{_escape(value)}"' for name, value in sorted(self.labels))
        return self.name + (f"{{{inner}}}" if inner else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The count on one page. `run` differs after a restart; `since`: when it began to count, by the server's clock."""

    counter: Selector
    parts: Mapping[Labels, float]
    run: tuple[float | None, ...]
    since: float | None = None

    @property
    def count(self) -> float:
        """All logins counted so far."""
        return sum(self.parts.values())

    def grown_since(self, before: Reading) -> float | None:
        """How many logins were counted since an earlier page; None where they cannot be compared.

        Parts that are gone count for nothing: old statistics forget users who were not seen for a while.
        """
        if before.counter != self.counter or before.run != self.run:
            return None
        steps = [count - before.parts.get(labels, 0.0) for labels, count in self.parts.items()]
        return sum(steps) if all(step >= 0 for step in steps) else None


@dataclass(frozen=True, slots=True)
class NoCounter:
    """Why a page tells no count."""

    reason: str


def selector(text: str) -> Selector:
    """Read `NAME` or `NAME{label="value"}`; ValueError otherwise.

    >>> print(selector('dovecot_auth_total{success="yes"}'))
    dovecot_auth_total{success="yes"}
    """
    found = _SELECTOR.fullmatch(text.strip())
    labels = _labels(found[2] or "") if found else None
    if found is None or labels is None:
        raise ValueError(text)
    return Selector(found[1], labels)


def login_counter(page: bytes, wanted: Selector | None = None) -> Reading | NoCounter:
    """The wanted counter of the page, or the most telling of those that are known."""
    candidates = [wanted] if wanted else [Selector(name) for name in KNOWN]
    names = {form for candidate in candidates for form in _forms(candidate.name)}
    series = _series(page, names | {_START, _RESET})
    if isinstance(series, NoCounter):
        return series
    found = [reading for candidate in candidates if (reading := _reading(candidate, series, page))]
    for reading in found:
        if reading.count > 0:
            return reading
    return found[0] if found else NoCounter(_why_none(page, wanted, series))


_Series = dict[str, dict[Labels, float | None]]
"""Numbers by name and labels; None where the page has no count, or two."""


def _series(page: bytes, names: set[str]) -> _Series | NoCounter:
    lines = re.compile(rb"^(?:%b)[{ \t][^\n]{0,%d}\n" % (b"|".join(map(str.encode, sorted(names))), LONGEST_LINE), re.M)
    series: _Series = {}
    for number, line in enumerate(lines.finditer(page)):
        if number >= MOST_SERIES:
            return NoCounter(f"more than {MOST_SERIES} series of one counter: let the exporter tell global ones")
        sample = _SAMPLE.fullmatch(line[0].decode("utf-8", "replace").rstrip("\r\n"))
        labels = _labels(sample[2] or "") if sample else None
        if sample is None or labels is None:
            continue
        same, count = series.setdefault(sample[1], {}), _number(sample[3])
        same[labels] = count if same.get(labels, count) == count else None
    return series


def _reading(wanted: Selector, series: _Series, page: bytes) -> Reading | None:
    forms = [(name, _chosen(series.get(name, {}), wanted.labels)) for name in _forms(wanted.name)]
    whole = (form for form in forms if wanted.labels in form[1])
    name, parts = next(whole, None) or next((form for form in forms if form[1]), ("", {}))
    sound = {labels: count for labels, count in parts.items() if count is not None}
    if not sound or len(sound) < len(parts):
        return None
    run = tuple(series.get(start, {}).get(NO_LABELS) for start in (_START, _RESET))
    return Reading(counter=Selector(name, wanted.labels), parts=sound, run=run, since=_since(name, run, page))


def _forms(name: str) -> tuple[str, ...]:
    """Names one counter goes by: grouped ones have their sum in `_count`, and so had all of them before 2.3.14."""
    base = name.removesuffix("_total")
    return tuple(dict.fromkeys((name, f"{base}_total", f"{base}_count")))


def _chosen(same: Mapping[Labels, float | None], wanted: Labels) -> dict[Labels, float | None]:
    fitting = {labels: count for labels, count in same.items() if wanted <= labels}
    fewest = min(map(len, fitting), default=0)
    return {labels: count for labels, count in fitting.items() if len(labels) == fewest}


def _since(name: str, run: tuple[float | None, ...], page: bytes) -> float | None:
    if name.startswith("dovecot_global_"):
        return run[1]
    return run[0] if re.search(rb"^%b[{ ]" % _OWN_PAGE.encode(), page, re.M) else None


def _labels(text: str) -> Labels | None:
    found, at = [], 0
    while at < len(text):
        label = _LABEL.match(text, at)
        if label is None:
            return None
        found.append((label[1], _ESCAPED.sub(_unescape, label[2][1:-1])))
        at = label.end()
    return frozenset(found) if len(dict(found)) == len(found) else None


def _unescape(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(text: str) -> float | None:
    count = float(text) if _NUMBER.fullmatch(text) else math.nan
    return count if math.isfinite(count) and count >= 0 else None


def _why_none(page: bytes, wanted: Selector | None, series: _Series) -> str:
    if present := [name for name in series if name not in (_START, _RESET)]:
        labels = f" with the labels of {wanted}" if wanted and wanted.labels else ""
        return f"{', '.join(sorted(present))} is on the page, but no single number of logins{labels}"
    names = list(dict.fromkeys(found[1].decode() for found in _ANY_NAME.finditer(page)))
    if not names:
        beginning = page[:40].decode("utf-8", "replace").split("\n", 1)[0]
        return f"no metrics on the page, it begins with {beginning!r}" if page else "the page is empty"
    told = [name for name in names if name.startswith("dovecot_")] or names
    listed = ", ".join(told[:SHOWN_NAMES]) + (", …" if len(told) > SHOWN_NAMES else "")
    which = f"{wanted} is not" if wanted else "no known counter of logins is"
    return f"{which} on the page, which has {listed}"
