"""The probe's clock: seconds since the epoch that never jump within a process.

Wall time may be set back and forth; sessions and log lines are compared with each other, so they need one clock
that only goes forward. It is labelled with the wall time at which the process took it up. Whoever tells a person, or
Prometheus, or a file that outlives the process, when something was, asks `wall`: that follows a wall clock which was
set meanwhile, and durations stay what they were.

It goes on while the machine sleeps, so that nobody takes that time for one in which somebody looked. The event loop's
timers do not: what is to happen at a moment happens late by the sleep's part of the wait, and `woke` tells since when
nobody may be blamed for that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from uuid import uuid4

from probe.model import Clock


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How wall times are told: what the wall clock is ahead of the machine's own.

    `boot` names that one, which goes on from process to process, or just this process's where nobody tells which it is.
    """

    boot: str
    ahead: float

    def set_forward(self, since: Reckoning) -> float:
        """How far the wall clock was set since another reckoning; nothing where that was by another machine clock."""
        forward = self.ahead - since.ahead if self.boot == since.boot else 0.0
        return forward if abs(forward) > NOTABLE_SHIFT else 0.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the wall clock is ahead of moments, as it was read once: `shift`, but `kept` of those up to `until`."""

    shift: float
    until: float = -inf
    kept: float = 0.0

    def __call__(self, moment: float) -> float:
        """Of this moment."""
        return self.kept if moment <= self.until else self.shift


class SteadyClock:
    """Reads the wall time once and then goes on monotonically. `awake`: a clock that stands still in sleep.

    `boot`: which run of the machine `monotonic` counts; empty: nobody knows, so it is told from every other clock.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall_time: Callable[[], float] = time.time,
        awake: Callable[[], float] | None = None,
        boot: str = "",
    ) -> None:
        self._monotonic = monotonic
        self._wall_time = wall_time
        self._awake = awake or monotonic
        self._boot = boot or f"one {uuid4().hex}"
        self._ahead = wall_time() - monotonic()
        self._slept = self._slept_before = monotonic() - self._awake()
        self._woke = -inf
        self._shift = 0.0
        self._until, self._kept = -inf, 0.0

    def __call__(self) -> float:
        """Now."""
        return self._monotonic() + self._ahead

    @property
    def woke(self) -> float:
        """When somebody who asked saw that the machine had slept since he asked last; if never, infinitely long ago."""
        slept = self._monotonic() - self._awake()
        if slept > self._slept + NOTABLE_SLEEP:
            self._woke = self()
        self._slept = slept
        return self._woke

    @property
    def slept(self) -> float:
        """For how many seconds the machine has slept since the start, as no timer of an event loop counts them."""
        return self._monotonic() - self._awake() - self._slept_before

    @property
    def shift(self) -> float:
        """How far the wall clock has been set forward since the start: one value until it is set again, for of two
        readings a millisecond or so is their own."""
        shift = self._wall_time() - self()
        if abs(shift - self._shift) > NOTABLE_SHIFT:
            self._shift = shift if abs(shift) > NOTABLE_SHIFT else 0.0
        return self._shift

    @property
    def reckoning(self) -> Reckoning:
        """How wall times are told now."""
        return Reckoning(self._boot, self._ahead + self.shift)

    @property
    def ahead(self) -> Ahead:
        """What whoever tells moments adds to them now."""
        return Ahead(self.shift, self._until, self._kept)

    def wall(self, moment: float) -> float:
        """What the wall clock of today calls this moment."""
        return moment + self.ahead(moment)

    def keep(self, until: float) -> None:
        """What was up to then, by another clock, is called as it is called now, whatever this one is set to."""
        self._until, self._kept = until, self.shift

    def moment(self, wall: float) -> float:
        """The moment that the wall clock of today calls so: for what an earlier process wrote down."""
        return wall - self.shift


NOTABLE_SHIFT = 0.05
"""Seconds; two clocks are not read at the same time."""

NOTABLE_SLEEP = 1.0

BOOT = Path("/proc/sys/kernel/random/boot_id")


def shift_of(clock: Clock) -> float:
    """How far the wall clock was set since this clock began; nothing for a clock that is the wall clock itself."""
    return clock.shift if isinstance(clock, SteadyClock) else 0.0


def slept_of(clock: Clock) -> float:
    """How long the machine has slept since this clock began, as far as it knows."""
    return clock.slept if isinstance(clock, SteadyClock) else 0.0


def steady_clock() -> SteadyClock:
    """The clock of this process; it counts a sleep of the machine where the system has such a clock (Linux)."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return SteadyClock()
    return SteadyClock(partial(time.clock_gettime, time.CLOCK_BOOTTIME), awake=time.monotonic, boot=_boot())


def _boot() -> str:
    """Which run of the machine this is, and of which beginning its clock tells here (time_namespaces(7))."""
    try:
        return f"{BOOT.read_text().strip()} {os.readlink('/proc/self/ns/time')}"
    except OSError:
        return ""
