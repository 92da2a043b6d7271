"""From a fault to the metric and back: the daemon on the lab, with Debian's Prometheus beside it.

    python bench/bench_switches.py [--switches 50] [--seed 1]

Rule 1: the lab's clock is taken when the switched network is in force: `apply_network` takes some 0.3 s, and what it
        took is printed. Half of the switches put a fault on (`cluster` and `drop` by turns), half take it away.
Rule 2: how long each state lasts is drawn at random, so that switches fall anywhere between two sessions.
Rule 3: the daemon has its default timeouts and an interval of 5 s. Its page is read every 0.1 s; Prometheus scrapes
        every second, and is asked as often.
Rule 4: an outage's length is compared with how long the fault was in force, for each service by itself.
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
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import machine, markdown  # noqa: E402 - needs the path above
from tests.lab import SCENARIOS, Lab, usable  # noqa: E402
from tests.lab.addresses import SERVICES  # noqa: E402
from tests.lab.daemon import Watched, watched  # noqa: E402

GENERATION = "debian12"
INTERVAL = 5.0
SETTINGS = {
    "schedule": {"interval": f"{INTERVAL:g}s", "jitter": "10%", "max_sessions_per_minute": 60},
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


def lengths(done: list[Switch], outages: list[dict[str, object]]) -> Iterator[tuple[str, float]]:
    """For every fault and service: which fault, and seconds by which the outage was told longer than it was."""
    for begin, end in zip(done[::2], done[1::2], strict=True):
        for service in SERVICES:
            told = [
                one for one in outages if one["service"] == service and begin.at - 1 < _moment(one["began"]) < end.at
            ]
            if len(told) != 1:
                raise RuntimeError(f"{begin.fault} on {service}: {len(told)} outages instead of one")
            yield begin.fault, float(str(told[0]["seconds"])) - (end.at - begin.at)


def _moment(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


def told(done: list[Switch], off_by: list[tuple[str, float]]) -> str:
    """The tables."""
    rows = []
    for fault, _ in FAULTS:
        for on in (True, False):
            for name in ("metric", "prometheus"):
                these = [one for one in done if (one.fault, one.on) == (fault, on)]
                seconds = [second for one in these for second in getattr(one, name).values()]
                where = "/metrics" if name == "metric" else "Prometheus"
                rows.append((f"{fault} {'on' if on else 'off'}, {where}", f"{len(these)}", *_figures(seconds)))
    errors = [
        (
            fault,
            f"{sum(name == fault for name, _ in off_by)}",
            *_figures([off for name, off in off_by if name == fault]),
        )
        for fault, _ in FAULTS
    ]
    heads = ("switch, told by", "switches", "median s", "lowest", "worst")
    more = ("outage told longer by", "outages", "median s", "lowest", "highest")
    return "\n".join([markdown(heads, rows), "", markdown(more, errors)])


def _figures(seconds: list[float]) -> tuple[str, str, str]:
    return f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f}", f"{max(seconds):.2f}"


def measure(count: int, seed: int) -> str:
    """The whole benchmark, as markdown."""
    with Lab(GENERATION) as lab, watched(lab, SCENARIOS[GOOD[0]], SETTINGS) as one:
        _followed(one, GOOD[1], time.time())
        done = list(switches(lab, one, count, Random(seed)))  # noqa: S311 - a draw that can be repeated
        off_by = list(lengths(done, one.outages()))
        servers = f"Postfix {lab.generation.postfix}, Dovecot {lab.generation.dovecot}"
    took = statistics.median(one.took for one in done)
    facts = f"{machine()} · {servers} · a switch of the lab's network takes {took:.2f} s"
    return f"{len(done)} switches, 4 services, interval {INTERVAL:g} s. {facts}.\n\n{told(done, off_by)}"


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
