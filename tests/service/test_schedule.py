"""Turns keep to their grid; budgets hold in every minute."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import EndpointName, Service
from probe.service.budget import WINDOW, Budget, Budgets
from probe.service.schedule import Turns, anchors

SMTP = EndpointName("vip", Service.SMTP, 25)
IMAPS = EndpointName("vip", Service.IMAPS, 993)


def test_sessions_however_long_do_not_move_the_turns() -> None:
    turns = Turns(anchor=1000.0, interval=30.0, jitter=0.0, random=Random(1))
    now, due = 1000.0, []
    for seconds in (0.1, 29.0, 45.0, 0.0, 95.0, 1.0):
        now = turns.next(now)
        due.append(now)
        now += seconds
    assert due == [1000.0, 1030.0, 1060.0, 1120.0, 1150.0, 1270.0]
    assert turns.missed == 4


def test_the_first_turn_is_at_once_however_late_it_is_asked_for() -> None:
    turns = Turns(anchor=1000.0, interval=3600.0, jitter=0.5, random=Random(1))
    assert turns.next(1000.2) == 1000.2
    assert turns.next(1001.0) > 2000.0


@given(st.integers(0, 1000), st.floats(0.0, 0.5))
def test_jitter_stays_in_its_bounds_and_never_adds_up(seed: int, jitter: float) -> None:
    turns = Turns(anchor=0.0, interval=10.0, jitter=jitter, random=Random(seed))
    for turn in range(50):
        due = turns.next(max(0.0, turn * 10.0 - 10.0 * jitter))
        assert abs(due - turn * 10.0) <= 10.0 * jitter + 1e-6
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


def test_each_endpoint_has_its_own_and_without_a_limit_there_is_always_room() -> None:
    budgets = Budgets(2)
    budgets.spend(SMTP, 0.0, 2)
    assert budgets.room_at(SMTP, 1.0) == 60.0
    assert budgets.room_at(IMAPS, 1.0) == 1.0
    budgets.limit(3)
    assert budgets.room_at(SMTP, 1.0) == 1.0
    free = Budgets()
    free.spend(SMTP, 0.0, 1000)
    assert free.room_at(SMTP, 0.0, 1000) == 0.0
