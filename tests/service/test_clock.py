"""The clock goes steadily on, whatever becomes of the wall clock; labels follow the wall clock."""

from __future__ import annotations

import time
from math import inf

import pytest

from probe.service.clock import SteadyClock, steady_clock


class Clocks:
    monotonic = 500.0
    awake = 500.0
    wall = 1_000_000.0


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_of_the_wall_clock_moves_labels_and_no_durations(jump: float) -> None:
    now = Clocks()
    clock = SteadyClock(lambda: now.monotonic, lambda: now.wall)
    began = clock()
    assert began == 1_000_000.0
    now.monotonic += 10.0
    now.wall += 10.0 + jump
    assert clock() - began == 10.0
    assert clock.wall(began) == pytest.approx(1_000_000.0 + jump)
    assert clock.moment(clock.wall(began)) == pytest.approx(began)


def test_two_readings_are_no_jump() -> None:
    now = Clocks()
    clock = SteadyClock(lambda: now.monotonic, lambda: now.wall)
    for shift in (0.0, 3600.0, 0.0):
        now.wall = 1_000_000.0 + shift
        assert clock.wall(1.0) == 1.0 + shift
        now.wall += 0.01
        assert clock.wall(1.0) == 1.0 + shift


def test_a_sleep_of_the_machine_is_time_that_passes_and_moves_no_label() -> None:
    now = Clocks()
    clock = SteadyClock(lambda: now.monotonic, lambda: now.wall, lambda: now.awake)
    began = clock()
    for passes, sleeps, woke in ((10.0, 0.0, -inf), (5.0, 3600.0, began + 3615.0), (10.0, 0.0, began + 3615.0)):
        now.monotonic += passes + sleeps
        now.wall += passes + sleeps
        now.awake += passes
        assert clock.woke == woke
    assert clock.slept == 3600.0
    assert clock() == began + 3625.0
    assert clock.wall(began) == began


def test_the_process_s_own_clock_goes_on_from_the_wall_time() -> None:
    clock = steady_clock()
    assert clock() == pytest.approx(time.time(), abs=0.1)
    assert clock.woke < clock()
