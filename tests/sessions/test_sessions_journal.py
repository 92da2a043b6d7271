"""The transcript: whole lines, masked before they are cut, printable, bounded, whatever arrives in what pieces."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Phase
from probe.sessions.journal import KEPT_CHARACTERS, KEPT_LINES, Journal

SECRET = "correct-horse-battery"


def _journal() -> Journal:
    ticks = count()
    return Journal(lambda: float(next(ticks)), secrets=(SECRET, ""))


def _texts(journal: Journal) -> list[str]:
    return [spoken.text for spoken in journal.told()]


@given(st.integers(1, 40))
def test_a_secret_is_masked_however_it_is_cut_into_reads(size: int) -> None:
    journal, octets = _journal(), f"535 no {SECRET} no\r\n220 x".encode()
    for start in range(0, len(octets), size):
        journal.note(octets[start : start + size], ours=False)
    assert _texts(journal) == ["535 no **** no", "220 x"]


@pytest.mark.parametrize(
    "said", ['NO "LOGIN a \\"pa\\\\ss\\""', "no %22pa%5Css%22", "no &quot;pa\\ss&quot;", '535 "pa\\ss"']
)
def test_a_secret_is_masked_however_the_server_quotes_it(said: str) -> None:
    journal = Journal(lambda: 0.0, secrets=('"pa\\ss"',))
    journal.note(f"{said}\r\n".encode(), ours=False)
    (text,) = _texts(journal)
    assert "****" in text
    assert "ss" not in text


def test_a_secret_at_the_edge_of_what_is_kept_is_not_kept_by_half() -> None:
    journal = _journal()
    journal.note(b"x" * (KEPT_CHARACTERS - 5) + SECRET.encode() + b"\r\n", ours=False)
    assert _texts(journal) == ["x" * (KEPT_CHARACTERS - 5) + "****"]


@given(st.lists(st.tuples(st.binary(max_size=2000), st.booleans()), max_size=400))
def test_bounded_and_printable_whatever_comes(reads: list[tuple[bytes, bool]]) -> None:
    journal = _journal()
    for octets, ours in reads:
        journal.note(octets, ours=ours)
    texts = _texts(journal)
    assert len(texts) <= KEPT_LINES
    assert all(text.isprintable() and len(text) <= KEPT_CHARACTERS for text in texts)
    assert all(text.encode() for text in texts if text)


def test_an_unfinished_line_keeps_its_place_before_our_answer() -> None:
    journal = _journal()
    journal.note(b"220 mail", ours=False)
    journal.note(b"EHLO me\r\n", ours=True)
    journal.note(b"250 hi\r\n", ours=False)
    assert [(spoken.ours, spoken.text) for spoken in journal.told()] == [
        (False, "220 mail"),
        (True, "EHLO me"),
        (False, "250 hi"),
    ]


def test_a_flood_of_empty_lines_is_bounded() -> None:
    journal = _journal()
    journal.note(b"\n" * 1_000_000, ours=False)
    assert len(journal.told()) == KEPT_LINES


def test_the_first_phase_that_fails_is_where_it_failed() -> None:
    journal = _journal()
    with pytest.raises(OSError), journal.phase(Phase.LOGIN):  # noqa: PT011
        raise OSError
    with pytest.raises(ValueError), journal.phase(Phase.QUIT):  # noqa: PT011
        raise ValueError
    assert (journal.failed, journal.reached) == (Phase.LOGIN, Phase.QUIT)
    assert [(timing.phase, timing.seconds) for timing in journal.phases] == [(Phase.LOGIN, 1.0), (Phase.QUIT, 1.0)]
