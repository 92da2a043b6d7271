"""What a scrape costs: a snapshot on the event loop, then the text, in both forms, by the number of endpoints.

    python bench/bench_metrics.py [--turns 5]

Rule 1: CPU of this process (process_time), the lowest of some turns: what others do on the machine only adds to it.
Rule 2: every endpoint has had a session of eight phases, so every histogram is there; a real ledger has no more series.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import machine, markdown  # noqa: E402 - needs the path above
from probe.model import Endpoint, Phase, PhaseTiming, Service  # noqa: E402
from probe.service.metrics import exposition, snapshot_registry  # noqa: E402
from tests.builders import result  # noqa: E402
from tests.service.metrics.stand_in import StandIn, stand_in  # noqa: E402

ENDPOINTS = (12, 100, 1000)
PHASES = tuple(PhaseTiming(phase=phase, seconds=0.01) for phase in list(Phase)[:8])
FORMS = {"plain": "text/plain", "OpenMetrics": "application/openmetrics-text"}
HEADS = ("endpoints", "series", "MB", "snapshot ms", *(f"{form} ms" for form in FORMS))


def station(folder: Path, endpoints: int) -> StandIn:
    """Of so many endpoints, four on each path."""
    names = (f"path-{number}" for number in range(endpoints // len(Service)))
    known = [Endpoint(path=p, service=s, host="h", port=s.default_port) for p in names for s in Service]
    shown = stand_in(folder, known)
    for one in known:
        shown.ledger.record(result(path=one.path, service=one.service, port=one.port, phases=PHASES, opened=100.0))
    return shown


def lowest(turns: int, work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    found = []
    for _ in range(turns):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def row(folder: Path, endpoints: int, turns: int) -> tuple[str, ...]:
    """One number of endpoints."""
    shown = station(folder, endpoints)
    registry = snapshot_registry(shown)
    body, _ = exposition(registry, None)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    snapshot = lowest(turns, lambda: snapshot_registry(shown))
    texts = [lowest(turns, lambda accept=accept: exposition(registry, accept)) for accept in FORMS.values()]  # type: ignore[misc]
    figures = (f"{seconds * 1000:.1f}" for seconds in (snapshot, *texts))
    return (str(endpoints), str(series), f"{len(body) / 1e6:.2f}", *figures)


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU and size of a scrape, by the number of endpoints.")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(Path(folder), endpoints, given.turns) for endpoints in ENDPOINTS]
    print(f"Lowest CPU of {given.turns} turns. {machine()}.\n\n{markdown(HEADS, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
