"""Sessions on the lookout are told of lines that bear on them, and of no others."""

from __future__ import annotations

from dataclasses import replace

from probe.evidence.bearing import keys_of_session
from probe.evidence.events import Connected, Disconnected
from probe.model import Peer
from probe.service.lookout import Lookouts
from tests.builders import FINGERPRINT, NODE, OURS, observed, smtp_session

MINE = keys_of_session(smtp_session())
THEIRS = keys_of_session(smtp_session(client=replace(OURS, port=1)))


async def test_each_is_told_of_its_own() -> None:
    lookouts = Lookouts()
    with lookouts.posted(MINE) as mine, lookouts.posted(THEIRS) as theirs:
        lookouts.tell([observed(Connected(client=Peer(NODE, 5)))])
        assert not mine.is_set()
        lookouts.tell([observed(Connected(client=OURS))])
        assert (mine.is_set(), theirs.is_set()) == (True, False)


async def test_a_line_that_fits_two_is_told_to_both() -> None:
    lookouts = Lookouts()
    with lookouts.posted(MINE) as mine, lookouts.posted(THEIRS) as theirs:
        lookouts.tell([observed(Disconnected(client=Peer(NODE), tally=FINGERPRINT))])
        assert mine.is_set()
        assert theirs.is_set()


async def test_who_has_left_is_told_nothing() -> None:
    lookouts = Lookouts()
    with lookouts.posted(MINE) as mine:
        pass
    lookouts.tell([observed(Connected(client=OURS))])
    assert not mine.is_set()
