"""Whatever line a finder ties to a session bears on it: else the session would look for it too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probe.evidence.bearing import keys_of_line, keys_of_session
from probe.evidence.correlate import search
from probe.evidence.events import Connected, Disconnected, Event, IdSent, Rejected
from probe.evidence.scene import Offset, Scene
from probe.model import IdMoment, Imprint, ImprintKind, Peer, Session
from tests.builders import FINGERPRINT, NODE, OURS, imaps_session, login_line, observed, smtp_session

TOKEN = "3f2a9c"
WITH_TOKEN = Imprint(kind=ImprintKind.REJECT, token=TOKEN)
STRANGER = Peer(NODE, 1)

TIED: dict[str, tuple[Session, Event]] = {
    "port": (smtp_session(), Connected(client=OURS)),
    "port, by the end": (smtp_session(), Disconnected(client=OURS, tally=FINGERPRINT)),
    "fingerprint": (smtp_session(), Disconnected(client=Peer(NODE), tally=FINGERPRINT)),
    "token": (
        smtp_session(imprint=WITH_TOKEN),
        Rejected(client=Peer(NODE), verb="RCPT", reply="554", sender=f"{TOKEN}@x", helo="x"),
    ),
    "token in ID": (
        imaps_session(imprint=replace(WITH_TOKEN, kind=ImprintKind.ID)),
        IdSent(client=STRANGER, fields={"name": TOKEN}),
    ),
    "session id": (imaps_session(), login_line(100.11, OURS)),
    "time": (imaps_session(), login_line(100.11, STRANGER)),
}


@pytest.mark.parametrize(("session", "event"), TIED.values(), ids=TIED)
def test_what_is_tied_bears_on_it(session: Session, event: Event) -> None:
    line = observed(event)
    clocks = {(line.source, IdMoment.ACCEPTED): Offset(-0.001, 0.001, 5)}
    assert search(session, Scene(observed=[line], now=200.0, clocks=clocks)).evidence.sightings
    assert keys_of_session(session) & {*keys_of_line(line)}


@pytest.mark.parametrize("event", [login_line(100.11, STRANGER), IdSent(client=STRANGER, fields={})])
def test_a_rhythm_is_looked_for_at_each_login(event: Event) -> None:
    assert keys_of_session(imaps_session()) & {*keys_of_line(observed(event))}


def test_a_stranger_s_line_does_not() -> None:
    lines = (Connected(client=STRANGER), login_line(100.11, STRANGER), Connected(client=None))
    assert not any(keys_of_session(smtp_session()) & {*keys_of_line(observed(one))} for one in lines)
