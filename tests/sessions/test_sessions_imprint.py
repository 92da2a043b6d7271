"""Fingerprints: as many as the odds say, none that an ordinary client leaves, none twice in flight."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.sessions.imprint import (
    DISTINCT,
    MIN_COMMANDS,
    MIN_KINDS,
    MOST,
    NUMBERS,
    ODDS,
    Fingerprints,
    fingerprint,
    is_distinct,
)

JUNK_LIMIT = 100
"""Postfix's smtpd_junk_command_limit."""


def test_distinct_is_the_number_of_distinct_fingerprints() -> None:
    distinct = {frozenset(counts.items()) for counts in map(fingerprint, range(NUMBERS)) if is_distinct(counts)}
    assert len(distinct) == DISTINCT
    assert pytest.approx(1 / DISTINCT) == ODDS


@given(st.integers(0, NUMBERS - 1), st.integers(0, NUMBERS - 1))
def test_each_number_is_a_fingerprint_of_its_own(one: int, other: int) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)
    assert all(count <= MOST[verb] for verb, count in fingerprint(one).items())


@given(st.integers().map(Random), st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_no_two_in_flight_are_equal(random: Random, sessions: int) -> None:
    fingerprints = Fingerprints(random)
    with ExitStack() as in_flight:
        drawn = [tuple(sorted(in_flight.enter_context(fingerprints.draw()))) for _ in range(sessions)]
        assert len(set(drawn)) == sessions
        for verbs in drawn:
            assert len(set(verbs)) >= MIN_KINDS
            assert len(verbs) >= MIN_COMMANDS
            assert verbs.count("noop") + verbs.count("rset") < JUNK_LIMIT


@given(st.integers().map(Random), st.lists(st.booleans(), max_size=60))
@settings(max_examples=25, deadline=None)
def test_sessions_that_come_and_go_never_share_one(random: Random, comes: list[bool]) -> None:
    fingerprints = Fingerprints(random)
    in_flight: list[tuple[ExitStack, tuple[str, ...]]] = []
    for come in comes:
        if come or not in_flight:
            stack = ExitStack()
            in_flight.append((stack, tuple(sorted(stack.enter_context(fingerprints.draw())))))
        else:
            in_flight.pop(random.randrange(len(in_flight)))[0].close()
        assert len({verbs for _, verbs in in_flight}) == len(in_flight)
    for stack, _ in in_flight:
        stack.close()


def test_too_many_in_flight_is_an_error_and_not_a_hang() -> None:
    fingerprints = Fingerprints(Random(1))
    with ExitStack() as in_flight:
        for _ in range(DISTINCT // 2):
            in_flight.enter_context(fingerprints.draw())
        with pytest.raises(RuntimeError, match="too few fingerprints"):
            in_flight.enter_context(fingerprints.draw())
