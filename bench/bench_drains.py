"""Drains on the lab: how far off is the length of the gap that `probe watch` tells.

    python bench/bench_drains.py [--drains 10] [--seed 1]

Rule 1: the lab's record is what its own commands say: the clock is read right before and right after the one that takes
        the pod away from the announcing node, and the one that sends packets to the other node. A length counts as off
        by what it misses the span between these readings.
Rule 2: how late the address follows is drawn at random, from half a second to eight.
Rule 3: one watch for all drains of a vantage, at its default cadence of 0.2 s, on its link and from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import machine, markdown  # noqa: E402 - needs the path above
from tests.lab import Lab, usable  # noqa: E402
from tests.lab.drain import Drained, unreachable, watched_drains  # noqa: E402

LATE = (0.5, 8.0)
NO_LAB = 3
VANTAGES = {"lan": "on the address's link", "vantage": "behind the router"}


def off_by(told: dict[str, Any], record: list[Drained]) -> tuple[list[float], list[float], int]:
    """Of every endpoint and of whole paths: seconds by which lengths are off; and how many edges miss the truth."""
    each, missed = [], 0
    for endpoint in told["endpoints"]:
        outages = unreachable(endpoint)
        if len(outages) != len(record):
            raise RuntimeError(f"{endpoint['service']}: {len(outages)} outages instead of {len(record)}")
        for outage, drained in zip(outages, record, strict=True):
            each.append(drained.off_by(outage["seconds"]))
            if not drained.holds(outage):
                missed += 1
                print(f"an edge misses the truth: {endpoint['service']} {outage} {drained}", file=sys.stderr)
    together = [drained.off_by(one["seconds"]) for one, drained in zip(told["paths"], record, strict=True)]
    return each, together, missed


def measure(drains: int, seed: int) -> str:
    """The whole benchmark, as markdown."""
    random, rows, servers = Random(seed), [], []  # noqa: S311 - a draw that can be repeated
    for generation in sorted(usable()):
        with Lab(generation) as lab:
            servers.append(f"Postfix {lab.generation.postfix}, Dovecot {lab.generation.dovecot}")
            for vantage, where in VANTAGES.items():
                told, record = watched_drains(lab, [random.uniform(*LATE) for _ in range(drains)], vantage=vantage)
                each, together, missed = off_by(told, record)
                counted = sum(endpoint["cadence"]["counted"] for endpoint in told["endpoints"])
                sent = sum(endpoint["cadence"]["sent"] for endpoint in told["endpoints"])
                figures = (
                    f"{len(record)}",
                    *_figures(each),
                    *_figures(together),
                    f"{missed}",
                    f"{counted} of {sent:,}",
                )
                rows.append((f"{generation}, {where}", *figures))
    heads = (
        "lab and vantage",
        "drains",
        "endpoint: median s off",
        "worst",
        "path: median s off",
        "worst",
        "edges that miss",
        "knocks counted",
    )
    return f"{machine()} · {' · '.join(servers)}\n\n{markdown(heads, rows)}"


def _figures(seconds: list[float]) -> tuple[str, str]:
    return f"{statistics.median(seconds):.3f}", f"{max(seconds):.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description="How far off the length of a drain's gap is.")
    parser.add_argument("--drains", type=int, default=10, help="of each lab and vantage")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not usable():
        print("There is no lab here: make lab-packages", file=sys.stderr)
        return NO_LAB
    with contextlib.suppress(KeyboardInterrupt):
        print(measure(arguments.drains, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
