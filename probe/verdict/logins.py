"""What Dovecot's count of logins says about a session. Pure.

Rule 1: the count tells that somebody logged in, never who: a growth is others' only where it is more than ours can be.
Rule 2: "not counted" needs a login of ours that worked over imaps and began after the first scrape was there. A session
        without a login moves nothing, and submission may authenticate elsewhere: neither can be missed in the count.
Rule 3: a counter that never counted may not count at all, so its standing still says nothing.
Rule 4: it explains; it proves no address and changes no verdict.
"""

from __future__ import annotations

from probe.model import WHOAMI, Logins, Phase, Service, Session
from probe.verdict.case import BROKEN, Case

ENOUGH_DUE = 5.0
"""Logins due in a time for their absence to mean something: that not one of five comes is less likely than 1 in 100."""


def logged_in(session: Session) -> bool:
    """Whether Dovecot must have counted a login of this session; a whoami user is let in nowhere."""
    if (session.imprint.user or "").startswith(WHOAMI):
        return False
    return session.service is Service.IMAPS and session.fault is None and _login_began(session) is not None


def remark(case: Case) -> str | None:
    """The count, as a sentence for the explanation; nothing where it says nothing about this session."""
    logins = case.surroundings.logins
    if logins is None or case.elsewhere:
        return None
    broken = case.judgement.verdict in BROKEN and (_stands_still(logins) or _is_others_too(logins))
    if not broken and not _is_missed(case.session, logins):
        return None
    return f"Dovecot at {logins.where} counted {_logins(logins)} in these {_seconds(logins)}."


def another_server(case: Case) -> str | None:
    """Our login worked and was not counted."""
    logins = case.surroundings.logins
    if logins is None or not _is_missed(case.session, logins):
        return None
    return (
        f"Another server answers on {case.session.address}: our login worked there, and the Dovecot that counts at "
        f"{logins.where} has not counted it"
    )


def others_get_in(case: Case) -> str | None:
    """We were dropped while others log in."""
    session, logins = case.session, case.surroundings.logins
    if logins is None or not _is_others_too(logins):
        return None
    where = "on our path" if session.service is Service.IMAPS else f"on our path, or at port {session.port} alone"
    return f"Others get in, so the fault is {where}"


def nobody_gets_in(case: Case) -> str | None:
    """We were dropped, and nobody else logs in either."""
    logins = case.surroundings.logins
    if logins is None or not _stands_still(logins):
        return None
    if logins.usual is not None and logins.usual >= ENOUGH_DUE:
        return (
            f"Nobody gets in: about {logins.usual:.0f} logins are usual in these {_seconds(logins)}, and there was none"
        )
    return f"Nobody was seen to get in, but {_seconds(logins)} are a short time for a server with few logins"


def _is_missed(session: Session, logins: Logins) -> bool:
    began = _login_began(session)
    return logged_in(session) and _stands_still(logins) and began is not None and logins.since <= began


def _stands_still(logins: Logins) -> bool:
    return logins.grown == 0 and logins.count > 0


def _is_others_too(logins: Logins) -> bool:
    return logins.grown > logins.own


def _login_began(session: Session) -> float | None:
    """The earliest moment at which the login can have been sent: the phases before it follow each other."""
    began = session.opened
    for timing in session.phases:
        if timing.phase is Phase.LOGIN:
            return began
        began += timing.seconds
    return None


def _logins(logins: Logins) -> str:
    ours = f" (at most {logins.own:.0f} of them ours)" if logins.grown and logins.own else ""
    what = "login" if logins.grown == 1 else "logins"
    return f"{logins.grown:.0f} {what}{ours}" if logins.grown else "no login"


def _seconds(logins: Logins) -> str:
    return f"{logins.until - logins.since:.1f} s"
