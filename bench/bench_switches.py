"""From a fault to the metric and back: the daemon on the lab, with Debian's Prometheus beside it.

    python bench/bench_switches.py [--switches 50] [--seed 1]

Rule 1: the lab's clock is taken when the switched network is in force. `apply_network` takes some 0.3 s, seconds on a
        busy machine, and the median and the worst are printed: a session amid it may meet the new network sooner
        than the clock says. Half of the switches put a fault on (`cluster` and `drop` by turns), half take it away.
Rule 2: how long each state lasts is drawn at random, so that switches fall anywhere between two sessions.
Rule 3: the daemon has its default timeouts and an interval of 5 s. Its page is read every 0.1 s; Prometheus scrapes
        every second, and is asked as often.
Rule 4: an outage's length is compared with how long the fault was in force, for each service by itself. Where it is
        off by more than two sessions may be apart, every session that had a say in it is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import machine, markdown  # noqa: E402 - needs the path above
from tests.lab import SCENARIOS, Lab, usable  # noqa: E402
from tests.lab.addresses import SERVICES  # noqa: E402
from tests.lab.daemon import Watched, watched  # noqa: E402

GENERATION = "debian12"
INTERVAL, JITTER = 5.0, 0.1
APART = INTERVAL * (1 + 2 * JITTER)
"""Seconds between two sessions on turns that follow each other, at most."""

SETTINGS = {
    "schedule": {"interval": f"{INTERVAL:g}s", "jitter": f"{JITTER:.0%}", "max_sessions_per_minute": 60},
    "timeouts": {"connect": "5s", "session": "30s", "evidence": "15s"},
}
FAULTS = (("cluster", "masked"), ("drop", "silent_drop"))
GOOD = ("local", "preserved")
STAYS = (2.0, 8.0)
"""Seconds for which a state lasts after all services have told it."""

LOOK = 0.1
PATIENCE = 90.0
NO_LAB = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """One change of the network: when it was in force, and seconds until the daemon and Prometheus told it."""

    fault: str
    on: bool
    at: float
    took: float
    metric: dict[str, float]
    prometheus: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One outage, and by how much it was told longer than its fault was in force.

    `around`: the sessions from the last one before it to the one that ended it.
    """

    fault: str
    service: str
    longer: float
    around: tuple[str, ...]


TELLERS: tuple[tuple[str, Callable[[Switch], dict[str, float]]], ...] = (
    ("/metrics", lambda one: one.metric),
    ("Prometheus", lambda one: one.prometheus),
)


def switches(lab: Lab, one: Watched, count: int, random: Random) -> Iterator[Switch]:
    """So many switches, one after the other."""
    for number in range(count):
        fault, verdict = FAULTS[number // 2 % len(FAULTS)]
        on = number % 2 == 0
        scenario, expected = (fault, verdict) if on else GOOD
        begun = time.time()
        lab.apply_network(SCENARIOS[scenario].network)
        at = time.time()
        metric, prometheus = _followed(one, expected, at)
        yield Switch(fault=fault, on=on, at=at, took=at - begun, metric=metric, prometheus=prometheus)
        time.sleep(random.uniform(*STAYS))  # how long a state lasts is what is drawn


def _followed(one: Watched, verdict: str, since: float) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds until each service had the verdict, by the daemon and by Prometheus."""
    query = f'mailprobe_verdict{{verdict="{verdict}"}} == 1'
    asked: tuple[Callable[[], set[str]], ...] = (
        lambda: {service for service, told in one.verdicts().items() if told == verdict},
        lambda: set(one.asked(query)),
    )
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    while any(len(seconds) < len(SERVICES) for seconds in found):
        for ask, seconds in zip(asked, found, strict=True):
            if len(seconds) < len(SERVICES):
                for service in ask() - set(seconds):
                    seconds[service] = time.time() - since
        if time.time() > since + PATIENCE:
            raise RuntimeError(f"{verdict} was not told within {PATIENCE:g} s, only {found}")
        time.sleep(LOOK)
    return found


def outages(done: list[Switch], one: Watched) -> Iterator[Told]:
    """Every outage that was to be told, as it was told."""
    listed, sessions, good_since = one.outages(), one.sessions(), -inf
    for begin, end in zip(done[::2], done[1::2], strict=True):
        for service in SERVICES:
            mine = (outage for outage in listed if outage["service"] == service)
            found = [outage for outage in mine if good_since < moment(outage["began"]) < end.at]
            if len(found) != 1:
                raise RuntimeError(f"{begin.fault} on {service}: {len(found)} outages instead of one")
            seconds, lasted = float(found[0]["seconds"]), end.at - begin.at
            began, ended = moment(found[0]["began"]), moment(found[0]["ended"])
            yield Told(
                fault=begin.fault,
                service=service,
                longer=seconds - lasted,
                around=tuple(
                    _seen(session, end.at)
                    for session in reversed(sessions)
                    if session["service"] == service and began - APART <= moment(session["opened"]) <= ended
                ),
            )
        good_since = end.at


def _seen(session: dict[str, Any], switched: float) -> str:
    beats = f", {session['beats']} beats" if session["beats"] else ""
    return f"{moment(session['opened']) - switched:+.1f} {session['verdict']}{beats}"


def moment(text: object) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(str(text)).timestamp()


def tables(done: list[Switch], told: list[Told]) -> str:
    """What was measured, as markdown."""
    rows = [
        (f"{fault} {'on' if on else 'off'}, {where}", *_in_time(these, by))
        for fault, _ in FAULTS
        for on in (True, False)
        if (these := [one for one in done if (one.fault, one.on) == (fault, on)])
        for where, by in TELLERS
    ]
    heads = ("switch, told by", "switches", "median s", "lowest", "worst", "of")
    more = ("outage told longer by", "outages", "median s", "lowest", "highest")
    return "\n".join([markdown(heads, rows), "", markdown(more, _by_service(told)), "", *_far_off(told)])


def _in_time(done: list[Switch], told_by: Callable[[Switch], dict[str, float]]) -> tuple[str, ...]:
    """How many switches, seconds until they were told, and of which service the worst is."""
    after = [(seconds, service) for one in done for service, seconds in told_by(one).items()]
    return f"{len(done)}", *_figures([seconds for seconds, _ in after]), max(after)[1]


def _by_service(told: list[Told]) -> Iterator[tuple[str, ...]]:
    for fault, _ in FAULTS:
        for service in SERVICES:
            longer = [one.longer for one in told if (one.fault, one.service) == (fault, service)]
            yield (f"{fault}, {service}", f"{len(longer)}", *_figures(longer))


def _far_off(told: list[Told]) -> Iterator[str]:
    """Those that are off by more than two sessions may be apart, with every session that had a say in it."""
    far = [one for one in told if abs(one.longer) > APART]
    yield f"Off by more than {APART:g} s: {len(far)} of {len(told)}."
    for one in far:
        sessions = "; ".join(one.around)
        yield f"- {one.fault}, {one.service}, {one.longer:+.1f} s. Sessions, at seconds from its end: {sessions}."


def _figures(seconds: list[float]) -> tuple[str, str, str]:
    return f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f}", f"{max(seconds):.2f}"


def measure(count: int, seed: int) -> str:
    """The whole benchmark, as markdown."""
    with Lab(GENERATION) as lab, watched(lab, SCENARIOS[GOOD[0]], SETTINGS) as one:
        _followed(one, GOOD[1], time.time())
        done = list(switches(lab, one, count, Random(seed)))  # noqa: S311 - a draw that can be repeated
        told = list(outages(done, one))
        servers = f"Postfix {lab.generation.postfix}, Dovecot {lab.generation.dovecot}"
    took, longest = statistics.median(one.took for one in done), max(one.took for one in done)
    facts = f"{machine()} · {servers} · a switch of the lab's network takes {took:.2f} s, {longest:.2f} s at worst"
    return f"{len(done)} switches, 4 services, interval {INTERVAL:g} s. {facts}.\n\n{tables(done, told)}"


def main() -> int:
    parser = argparse.ArgumentParser(description="From a fault to the metric and back.")
    parser.add_argument("--switches", type=int, default=50, help="an even number")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if GENERATION not in usable():
        print("There is no lab here: make lab-packages", file=sys.stderr)
        return NO_LAB
    with contextlib.suppress(KeyboardInterrupt):
        print(measure(arguments.switches, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
