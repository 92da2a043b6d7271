"""Whether clients are served where a session proves this: one table, for whoever asks it of a watch. Pure.

Rule 1: an outage is of critical verdicts (contract); to be served is another matter. Who is masked is out, and served;
        who is turned away with a 421 is not served, and not out by that alone.
Rule 2: a rate limit may be this machine's own: whether others are served is not known, so it proves neither:
        amid what is certain it counts as no session at all.
Rule 3: who is served, and nobody knows whose address the server sees, is no proof that nobody is masked: amid an outage
        in which clients are served (masked, spoofable) that counts as no session either. After one in which nobody is
        it is all the proof there need be.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from probe.model import Gap, GapKind, Severity, Verdict


class Served(Enum):
    """What a verdict says of clients that come in as its session did."""

    YES = auto()
    UNSEEN = auto()
    """Served, and whose address the server sees is not known."""
    NO = auto()
    PERHAPS = auto()


SERVED: Mapping[Verdict, Served] = {
    Verdict.PRESERVED: Served.YES,
    Verdict.UNVERIFIED: Served.UNSEEN,
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
    return None if serves(verdict) else GapKind.TURNED_AWAY


def serves(verdict: Verdict) -> bool:
    """Whether clients are served, whatever else is wrong."""
    return SERVED[verdict] in (Served.YES, Served.UNSEEN)


def is_served(gap: Gap) -> bool:
    """Whether clients are served in it, though it is critical: by the session that named it last."""
    return gap.judgement is not None and serves(gap.judgement.verdict)


def is_none_amid(gap: Gap, verdict: Verdict) -> bool:
    """Whether a session with this verdict counts as none amid this gap: it cannot tell whether that lasts."""
    match SERVED[verdict]:
        case Served.PERHAPS:
            return is_certain(gap)
        case Served.UNSEEN:
            return is_served(gap)
        case _:
            return False


def is_certain(gap: Gap) -> bool:
    """Whether it certainly was what it is for all clients, and not perhaps for this machine alone."""
    return gap.kind is not GapKind.TURNED_AWAY or not any(how in UNSURE for how in gap.how)


TURNS_AWAY = tuple(verdict for verdict in SERVED if gap_of(verdict) is GapKind.TURNED_AWAY)
