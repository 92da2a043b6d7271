"""What is said once: by kind, for a while, and in bounded memory."""

from __future__ import annotations

from structlog.testing import capture_logs

from probe.notices import AGAIN, MOST_KINDS, Once


def test_a_kind_is_said_once_in_a_while_whatever_it_says() -> None:
    now = [100.0]
    once = Once(clock=lambda: now[0])
    with capture_logs() as said:
        for number in range(5):
            once.warn("broken", kind="a", reason=f"request {number}")
            once.warn("broken", kind="b", reason="another")
        now[0] += AGAIN
        once.warn("broken", kind="a", reason="later")
    assert [entry["reason"] for entry in said] == ["request 0", "another", "later"]


def test_of_too_many_kinds_the_oldest_is_forgotten() -> None:
    now = [100.0]
    once = Once(again=50.0, clock=lambda: now[0])
    with capture_logs() as said:
        once.warn("first", kind="first")
        now[0] += 50.0
        once.warn("second", kind="second")
        once.warn("first", kind="first")
        for number in range(MOST_KINDS - 1):
            once.warn("pod", kind=str(number))
        once.warn("first", kind="first")
        assert len(said) == 3 + MOST_KINDS - 1
        once.warn("second", kind="second")
    assert len(said) == 3 + MOST_KINDS
