"""Whether clients are served where a session proves this: one table, for whoever asks it of a watch. Pure.

Rule 1: an outage is of critical verdicts (contract); to be served is another matter. Who is masked is out, and served;
        who is turned away with a 421 is not served, and not out by that alone.
Rule 2: a rate limit may be this machine's own: whether others are served is not known, so it proves neither:
        amid what is certain it counts as no session at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from probe.model import Gap, GapKind, Severity, Verdict


class Served(Enum):
    """What a verdict says of clients that come in as its session did."""

    YES = auto()
    NO = auto()
    PERHAPS = auto()


SERVED: Mapping[Verdict, Served] = {
    Verdict.PRESERVED: Served.YES,
    Verdict.UNVERIFIED: Served.YES,
    Verdict.MASKED: Served.YES,
    Verdict.SPOOFABLE: Served.YES,
    Verdict.SILENT_DROP: Served.NO,
    Verdict.UNANNOUNCED: Served.NO,
    Verdict.REFUSED: Served.NO,
    Verdict.PROXY_HEADER_TIMEOUT: Served.NO,
    Verdict.PROXY_HEADER_UNEXPECTED: Served.NO,
    Verdict.PROXY_HEADER_UNTRUSTED: Served.NO,
    Verdict.NO_GREETING: Served.NO,
    Verdict.TLS_FAILED: Served.NO,
    Verdict.LOGIN_FAILED: Served.NO,
    Verdict.RESOLVE_FAILED: Served.NO,
    Verdict.SERVICE_ERROR: Served.NO,
    Verdict.RATE_LIMITED: Served.PERHAPS,
}

UNSURE = tuple(verdict for verdict, served in SERVED.items() if served is Served.PERHAPS)

MILD = (GapKind.WAITED, GapKind.TURNED_AWAY)
"""Kinds of gaps that are no outage by themselves, and part of one that they go on from."""


def gap_of(verdict: Verdict) -> GapKind | None:
    """The kind of gap that a session with this verdict is in; None: clients are served, and nothing is critical."""
    if verdict.severity is Severity.CRITICAL:
        return GapKind.CRITICAL
    return None if SERVED[verdict] is Served.YES else GapKind.TURNED_AWAY


def is_certain(gap: Gap) -> bool:
    """Whether it certainly was what it is for all clients, and not perhaps for this machine alone."""
    return gap.kind is not GapKind.TURNED_AWAY or not any(how in UNSURE for how in gap.how)


TURNS_AWAY = tuple(verdict for verdict in SERVED if gap_of(verdict) is GapKind.TURNED_AWAY)
