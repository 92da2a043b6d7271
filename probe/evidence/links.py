"""Links by what only our session leaves: its message, its token, its own address and port, its count of commands.

Each function looks through the lines since the session opened (or at the message that was read back) and answers with a
sighting or with the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from probe.evidence.events import Disconnected, IdSent, Observed, Rejected
from probe.evidence.moments import clocks_by
from probe.evidence.ours import Ours
from probe.evidence.received import our_hop
from probe.evidence.repeats import are_alike, without_repeats
from probe.evidence.scene import MAX_CHANCE, SETTLE, Finding, Scene, client_of, from_dovecot, sighting_of
from probe.model import Link, Peer, Phase, Session, Sighting

DRAWN = {"noop", "rset", "helo"}
"""Verbs that a fingerprint draws and that ordinary clients hardly send: who sends some looks like one of us."""

READ_EARLY = 0.05
"""Seconds by which a line may be read before the QUIT that it tells of was noted: the reader is another task."""


def by_message(session: Session, _: Sequence[Observed], __: Scene) -> Finding:
    """The `Received` header that the server wrote as it took our message."""
    delivery = session.delivery
    if delivery is None:
        return Finding()
    if delivery.found is None:
        return Finding(reason=delivery.trouble)
    hop = our_hop(delivery.header, helo=delivery.helo, queue_id=delivery.queue_id)
    if isinstance(hop, str):
        return Finding(reason=hop)
    return Finding(
        Sighting(
            address=hop.client.address,
            port=hop.client.port,
            link=Link.MESSAGE,
            source="message",
            at=delivery.found,
            line=f"Received: {hop.text}",
        )
    )


def by_token(session: Session, since: Sequence[Observed], _: Scene) -> Finding:
    """A line that carries the session's token: nobody else knows it."""
    token = session.imprint.token
    if token is None:
        return Finding()
    found = [(seen, client) for seen in since if (client := client_of(seen)) and token in _free_text(seen)]
    if len({client.address for _, client in found}) > 1:
        return Finding(reason=f"token {token} was logged with several addresses")
    if not found:
        return Finding(reason=f"no line carries the token {token}")
    return Finding(sighting_of(*found[-1], Link.TOKEN))


def _free_text(seen: Observed) -> str:
    match seen.event:
        case Rejected(helo=helo, sender=sender):
            return f"{helo} {sender}"
        case IdSent(fields=fields):
            return " ".join(fields.values())
        case _:
            return ""


def by_port(session: Session, since: Sequence[Observed], scene: Scene) -> Finding:
    """A line with our own address and port. Our port with another address is no link: strangers draw ports too.

    That no other connection of ours has both rests on sessions/dial.py, which binds a port of its own for each.
    """
    if session.client is None:
        return Finding()
    if scene.others.share_client(session):
        return Finding(reason="another session of ours has the same address and port")
    link = Link.PORT if session.service.speaks_smtp else Link.SESSION_ID
    with_port = [(seen, client) for seen in since if (client := _of_service(session, seen)) and client.port]
    own = [pair for pair in with_port if pair[1] == session.client]
    if own:
        return Finding(sighting_of(*own[-1], link), clocks=clocks_by(session, own[-1][0], tuple(session.id_moments)))
    return Finding(reason=f"none of {len({client for _, client in with_port})} clients seen has our address and port")


def _of_service(session: Session, seen: Observed) -> Peer | None:
    """The client of a line that this session's kind of server wrote."""
    return client_of(seen) if from_dovecot(seen) is not session.service.speaks_smtp else None


def by_fingerprint(session: Session, since: Sequence[Observed], scene: Scene) -> Finding:
    """A `disconnect` line that counts exactly the commands we sent, written after we said QUIT."""
    if not session.imprint.tally:
        return Finding()
    quitting = session.closed - session.seconds_in(Phase.QUIT)
    ended = [seen for seen in since if isinstance(seen.event, Disconnected) and seen.arrival >= quitting - READ_EARLY]
    fitting = without_repeats(seen for seen in ended if _fits(session, seen))
    counts = " ".join(f"{verb}={count.total}" for verb, count in sorted(session.imprint.tally.items()))
    if not fitting:
        return Finding(reason=f"none of {len(ended)} disconnect lines counts our commands ({counts})")
    if len(fitting) > 1:
        return Finding(reason=_fit_equally_well(fitting, counts))
    decided = fitting[0].arrival + SETTLE
    like_ours = (seen for seen in ended if seen.arrival <= decided and _is_look_alike(seen, session, scene.others))
    strangers = len(without_repeats(like_ours))
    if strangers * session.imprint.odds > MAX_CHANCE:
        return Finding(reason=f"{strangers} sessions like ours ended in this time: one may fit by chance")
    client = client_of(fitting[0])
    assert client is not None  # noqa: S101 - _fits has looked
    return Finding(sighting_of(fitting[0], client, Link.FINGERPRINT))


def _fits(session: Session, seen: Observed) -> bool:
    assert isinstance(seen.event, Disconnected)  # noqa: S101 - by_fingerprint has looked
    client, ours = client_of(seen), session.client
    if client is None:
        return False
    contradicts = ours is not None and client.address == ours.address and client.port not in (None, ours.port)
    return not contradicts and dict(seen.event.tally) == dict(session.imprint.tally)


def _fit_equally_well(fitting: Sequence[Observed], counts: str) -> str:
    reason = f"{len(fitting)} disconnect lines count our commands ({counts}): they fit equally well"
    if not are_alike(fitting):
        return reason
    return (
        f"{reason}, and they are alike to the letter: {fitting[0].source} may bring its lines twice, which only time "
        "stamps with microseconds can tell (a syslog template such as RSYSLOG_FileFormat has them)"
    )


def _is_look_alike(seen: Observed, session: Session, others: Ours) -> bool:
    """True for who draws as we do; our other sessions are no strangers, they never draw what we drew."""
    assert isinstance(seen.event, Disconnected)  # noqa: S101 - by_fingerprint has looked
    verbs = set(seen.event.tally)
    if not verbs & DRAWN or not verbs <= {*session.imprint.tally, *DRAWN}:
        return False
    return not others.left(seen.event.tally, beside=session)
