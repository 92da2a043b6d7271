"""Our other sessions, by client and by count of commands."""

from __future__ import annotations

from dataclasses import replace

from probe.evidence.ours import Ours
from tests.builders import FINGERPRINT, OURS, smtp_session, tally

MINE = smtp_session()
OTHER = smtp_session(id="other", client=replace(OURS, port=1), closed=200.0)


def test_a_session_does_not_stand_beside_itself() -> None:
    ours = Ours([MINE])
    assert not ours.share_client(MINE)
    assert not ours.left(FINGERPRINT, beside=MINE)


def test_another_with_the_same_client_or_counts_does() -> None:
    ours = Ours([MINE, OTHER, smtp_session(id="third")])
    assert ours.share_client(MINE)
    assert ours.left(FINGERPRINT, beside=MINE)
    assert not ours.share_client(OTHER)


def test_one_that_was_not_added_is_compared_with_all() -> None:
    assert Ours([OTHER]).left(FINGERPRINT, beside=MINE)
    assert Ours([smtp_session(id="other")]).share_client(MINE)


def test_counts_that_nobody_left() -> None:
    assert not Ours([MINE, OTHER]).left(tally(ehlo=1), beside=MINE)


def test_what_is_forgotten_is_gone() -> None:
    ours = Ours([MINE, OTHER])
    ours.forget(MINE.closed)
    assert len(ours) == 1
    assert ours.left(FINGERPRINT, beside=MINE)
    ours.forget(OTHER.closed)
    assert not ours.left(FINGERPRINT, beside=MINE)
    assert len(ours) == 0
