"""The clock goes steadily on, whatever becomes of the wall clock; labels follow the wall clock."""

from __future__ import annotations

import pytest

from probe.service.clock import SteadyClock


class Clocks:
    monotonic = 500.0
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
    now.wall += 0.01
    assert clock.wall(1.0) == 1.0
