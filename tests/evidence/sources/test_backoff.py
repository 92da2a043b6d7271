"""The waits between two attempts."""

from __future__ import annotations

import doctest

from probe.evidence.sources import backoff
from probe.evidence.sources.backoff import LONGEST, Backoff


def test_the_examples_hold() -> None:
    assert doctest.testmod(backoff).failed == 0


def test_chance_takes_at_most_half() -> None:
    least = Backoff(first=1.0, most=8.0, chance=lambda: 0.0)
    assert [least.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_a_wait_that_is_asked_for_is_bounded() -> None:
    assert Backoff().failed(at_least=86400.0) == LONGEST


def test_a_thousand_failures_are_no_overflow() -> None:
    patient = Backoff(chance=lambda: 1.0)
    assert {patient.failed() for _ in range(1000)} <= {0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0}
