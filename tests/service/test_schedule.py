"""Turns keep to their grid; budgets hold in every minute."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import EndpointName, Service
from probe.service.budget import ALL_BEATS, BEATS, WINDOW, Budget, Budgets, Needs
from probe.service.schedule import Turns, anchors

SMTP = EndpointName("vip", Service.SMTP, 25)
SUBMISSION = EndpointName("vip", Service.SUBMISSION, 587)
IMAPS = EndpointName("vip", Service.IMAPS, 993)


def test_sessions_however_long_do_not_move_the_turns() -> None:
    turns, due = Turns(anchor=1000.0, interval=30.0), []
    for seconds in (0.1, 29.0, 45.0, 0.0, 95.0, 1.0):
        due.append(turns.due)
        turns.go_on(turns.due + seconds)
    assert due == [1000.0, 1030.0, 1060.0, 1120.0, 1150.0, 1270.0]
    assert turns.missed == 4


def test_the_first_turn_is_at_once_however_late_it_is_asked_for() -> None:
    turns = Turns(anchor=1000.0, interval=3600.0)
    assert turns.due == 1000.0
    turns.go_on(1001.0, off=-1800.0)
    assert turns.due == 2800.0


@given(st.integers(0, 1000), st.floats(0.0, 0.5))
def test_jitter_stays_in_its_bounds_and_never_adds_up(seed: int, jitter: float) -> None:
    turns, random = Turns(anchor=0.0, interval=10.0), Random(seed)
    for turn in range(50):
        assert abs(turns.due - turn * 10.0) <= 10.0 * jitter + 1e-6
        turns.go_on(turns.due, random.uniform(-jitter, jitter) * 10.0)
    assert turns.missed == 0


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(0.0, 1.0)), st.floats(-5.0, 5.0)), max_size=40))
def test_a_session_that_is_due_at_once_costs_no_turn(sessions: list[tuple[float | None, float]]) -> None:
    """Each comes on its turn, or somewhere before it: at the shares that are given of the time until then."""
    turns, now = Turns(anchor=0.0, interval=10.0), 0.0
    turns.go_on(now)
    for share, off in sessions:
        before, now = now, turns.due if share is None else now + share * (turns.due - now)
        turns.hurry(now)
        assert turns.due <= now <= before + 20.0
        turns.go_on(now, off)
    assert turns.missed == 0


def test_the_first_sessions_come_soon_and_many_are_spread() -> None:
    assert list(anchors(4, 30.0, 100.0)) == [100.0, 100.5, 101.0, 101.5]
    many = list(anchors(1000, 30.0, 0.0))
    assert many[-1] == pytest.approx(29.97)
    assert list(anchors(0, 30.0, 0.0)) == []


def test_a_spent_budget_has_room_when_the_minute_is_over() -> None:
    budget = Budget(3)
    for at in (0.0, 10.0, 20.0):
        assert budget.room_at(at) == at
        budget.spend(at)
    assert budget.room_at(21.0) == 60.0
    assert budget.room_at(21.0, 2) == 70.0
    assert budget.room_at(21.0, 99) == 80.0
    assert budget.room_at(60.0) == 60.0


@given(st.integers(1, 10), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3)), max_size=60))
def test_no_minute_holds_more_than_the_budget(most: int, asks: list[tuple[int, int]]) -> None:
    budget, now, opened = Budget(most), 0.0, list[float]()
    for pause, wanted in asks:
        now = budget.room_at(now + pause, wanted)
        connections = min(wanted, most)
        budget.spend(now, connections)
        opened += [now] * connections
    for at in opened:
        assert sum(at - WINDOW < other <= at for other in opened) <= most


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_a_session_that_takes_three_comes_as_often_as_check_config_says(most: int) -> None:
    """Also where it is asked for all the time."""
    budget, begun = Budget(most), list[float]()
    while len(begun) < 7:
        begun.append(budget.room_at(begun[-1] if begun else 0.0, 3))
        budget.spend(begun[-1], 3)
    assert begun[-1] == 6 * 180 / most


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 200), st.integers(1, 3), st.integers(0, 2)), max_size=40))
def test_sessions_that_need_more_than_the_budget_keep_to_it_on_average(
    most: int, sessions: list[tuple[int, int, int]]
) -> None:
    """Each opens all that it had room for, and some control connections more."""
    budget, now, begun = Budget(most), 0.0, list[tuple[float, int]]()
    for pause, wanted, more in sessions:
        now = budget.room_at(now + pause, wanted)
        begun.append((now, wanted + more))
        for _ in range(wanted + more):
            budget.spend(now)
            now += 1.0
    for first, (since, _) in enumerate(begun):
        for last, (until, _) in enumerate(begun[first:], first):
            opened = sum(count for _, count in begun[first:last])
            assert opened <= most * ((until - since) / WINDOW + 1), (begun[first:last], until)


NEEDS: Needs = {SMTP: 1, IMAPS: 1}
"""Of a message that is read back."""


def test_each_endpoint_has_its_own_and_without_a_limit_there_is_always_room() -> None:
    budgets = Budgets(2)
    for _ in range(2):
        assert budgets.take(SMTP, {SMTP: 1}, 0.0)
        budgets.opened(SMTP, 0.0, by=SMTP)
    assert not budgets.take(SMTP, {SMTP: 1}, 1.0)
    assert budgets.room_at(SMTP, {SMTP: 1}, 1.0) == 60.0
    assert budgets.room_at(IMAPS, {IMAPS: 1}, 1.0) == 1.0
    budgets.limit(3)
    assert budgets.room_at(SMTP, {SMTP: 1}, 1.0) == 1.0
    free = Budgets()
    for _ in range(1000):
        free.opened(SMTP, 0.0, by=SMTP)
    assert free.take(SMTP, {SMTP: 1000}, 0.0)
    assert free.beats_at(IMAPS, 0.0, 1000) == 0.0


def test_room_that_is_held_is_nobody_elses_until_it_is_let_go() -> None:
    budgets = Budgets(2)
    assert budgets.take(SMTP, NEEDS, 0.0)
    assert budgets.take(IMAPS, {IMAPS: 1}, 0.0)
    assert not budgets.take(SUBMISSION, {SUBMISSION: 1, IMAPS: 1}, 0.0)
    assert budgets.room_at(SUBMISSION, {SUBMISSION: 1}, 0.0) == 0.0  # of one it cannot have all, it takes none
    budgets.opened(SMTP, 0.0, by=SMTP)
    budgets.let_go(SMTP)  # no message came that would have to be read back
    assert budgets.take(SUBMISSION, {SUBMISSION: 1, IMAPS: 1}, 0.0)
    budgets.opened(IMAPS, 5.0, by=SUBMISSION)
    budgets.opened(IMAPS, 6.0, by=IMAPS)
    assert budgets.room_at(IMAPS, {IMAPS: 1}, 10.0) == 65.0


def test_what_was_opened_without_room_is_owed() -> None:
    budgets = Budgets(2)
    assert budgets.take(SMTP, {SMTP: 1}, 0.0)
    for at in (0.0, 1.0, 2.0):  # a session and its control connections
        budgets.opened(SMTP, at, by=SMTP)
    budgets.let_go(SMTP)
    assert budgets.room_at(SMTP, {SMTP: 1}, 3.0) == 90.0
    budgets.only([], 89.0)
    assert budgets.room_at(SMTP, {SMTP: 1}, 89.0) == 90.0, "what is owed is not forgotten with the minute"
    budgets.limit(3)
    assert budgets.room_at(SMTP, {SMTP: 1}, 89.0) == 89.0


def test_a_lower_bound_asks_for_nothing_that_a_higher_one_allowed() -> None:
    budget = Budget(6)
    for at in (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 51.0, 52.0):
        budget.spend(at)
    assert budget.room_at(53.0) == 80.0
    budget.limit(1)
    assert budget.room_at(100.0, 3) == 112.0
    budget.spend(112.0, 3)
    budget.limit(6)
    assert budget.room_at(113.0, 3) == 113.0, "what is more than was allowed, and is not any more, is not owed"
    budget.limit(1)
    assert budget.room_at(113.0) == 172.0, "by no reload is it owed again"


def test_who_stands_in_line_comes_before_those_that_came_later() -> None:
    budgets = Budgets(1)
    assert budgets.take(IMAPS, {IMAPS: 1}, 0.0)
    budgets.opened(IMAPS, 0.0, by=IMAPS)
    with budgets.in_line(SMTP, NEEDS), budgets.in_line(IMAPS, {IMAPS: 1}):
        assert not budgets.take(IMAPS, {IMAPS: 1}, 60.0 - 0.1)
        budgets.limit(2)
        assert not budgets.take(IMAPS, {IMAPS: 1}, 1.0)  # the one place is for who came first
        assert budgets.take(SMTP, NEEDS, 1.0)
    budgets.opened(IMAPS, 1.0, by=SMTP)
    budgets.opened(SMTP, 1.0, by=SMTP)
    assert budgets.take(IMAPS, {IMAPS: 1}, 60.0)


@given(
    st.integers(1, 6), st.lists(st.tuples(st.integers(0, 9), st.sampled_from([SMTP, SUBMISSION, IMAPS])), max_size=80)
)
def test_sessions_with_a_message_to_read_back_overdraw_nobody(most: int, asks: list[tuple[int, EndpointName]]) -> None:
    """Each is opened when it has room for all it needs, and reads its mailbox later, beside others."""
    budgets, now, opened = Budgets(most), 0.0, list[tuple[EndpointName, float]]()
    late: list[tuple[float, EndpointName]] = []
    for pause, who in asks:
        now += pause
        for at, reader in [one for one in late if one[0] <= now]:
            late.remove((at, reader))
            budgets.opened(IMAPS, now, by=reader)
            opened.append((IMAPS, now))
            budgets.let_go(reader)
        needs: Needs = {who: 1} if who is IMAPS else {who: 1, IMAPS: 1}
        if who in {reader for _, reader in late} or not budgets.take(who, needs, now):
            continue
        budgets.opened(who, now, by=who)
        opened.append((who, now))
        if who is not IMAPS:
            late.append((now + 5.0, who))
    for to, at in opened:
        assert sum(other is to and at - WINDOW < then <= at for other, then in opened) <= most


def test_beats_have_bounds_of_one_endpoint_and_of_all() -> None:
    budgets = Budgets(3)
    for at in (0.0, 1.0, 2.0):
        assert budgets.beats_at(IMAPS, at, 4) == at
        budgets.opened_beats(IMAPS, at, 4)
    assert budgets.beats_at(IMAPS, 3.0, 4) == 60.0
    assert budgets.room_at(IMAPS, {IMAPS: 1}, 3.0) == 3.0
    others = [EndpointName(f"p{number}", Service.IMAPS, 993) for number in range(ALL_BEATS // (3 * BEATS))]
    for other in others[1:]:
        budgets.opened_beats(other, 3.0, 3 * BEATS)
    assert budgets.beats_at(others[0], 4.0, 4) == 60.0


def test_sessions_that_need_several_connections_are_spread() -> None:
    budgets = Budgets(6)
    assert [budgets.pace(connections) for connections in (1, 2, 3, 7)] == [0.0, 20.0, 30.0, 70.0]
    assert [budgets.pace(1, beats) for beats in (4, 8, 12)] == [10.0, 20.0, 30.0]
    assert Budgets().pace(3, 12) == 0.0
