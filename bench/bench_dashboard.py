"""What the dashboard costs Prometheus: every panel asked of ten vantages that look at twenty paths with four services.

    python bench/bench_dashboard.py [--scrapes 20] [--steps 1000]

Rule 1: the pages are the collector's, of a ledger into which a session of every endpoint is put before each scrape;
        most are preserved, a tenth has every other verdict by turns. No session is opened.
Rule 2: a picture has as many steps as one of 1,000 pixels, or as the panel wants, so what is held in memory is that of
        six hours; the samples read are those of the scrapes there were.
Rule 3: each panel is asked three times, one after the other; the lowest counts. CPU is Prometheus's own count of it, in
        which its scrapes are too; they take a few hundredths of a second each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import yaml
from aiohttp import web

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import machine, markdown  # noqa: E402 - needs the path above
from dashboards.__main__ import FILE  # noqa: E402
from dashboards.picture.ask import Panel, Prometheus  # noqa: E402
from dashboards.picture.expand import Span, chosen  # noqa: E402
from probe.model import Endpoint, MaskedBy, Phase, PhaseTiming, Service, Verdict  # noqa: E402
from probe.service.ledger import Ledger  # noqa: E402
from probe.service.metrics import exposition, station_registry  # noqa: E402
from tests.builders import result  # noqa: E402
from tests.service.metrics.programs import running, serving  # noqa: E402
from tests.service.metrics.stand_in import stand_in  # noqa: E402

VANTAGES, PATHS = 10, 20
EVERY = 10.0
"""Seconds between two scrapes."""

TURNS = 3
PHASES = tuple(PhaseTiming(phase=phase, seconds=0.002 * (1 + number)) for number, phase in enumerate(Phase))


class Page:
    """A daemon's page, on which every scrape finds a new session of every endpoint."""

    def __init__(self, folder: Path) -> None:
        endpoints = [
            Endpoint(path=f"path-{number:02}", service=service, host="10.0.20.202", port=service.default_port)
            for number in range(PATHS)
            for service in Service
        ]
        station = stand_in(folder, endpoints)
        self._ledger: Ledger = station.ledger
        self._registry = station_registry(station)
        self._endpoints = endpoints
        self._scrapes = 0

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """What Prometheus gets."""
        for number, endpoint in enumerate(self._endpoints):
            verdict = self._verdict(number)
            masked_by = MaskedBy.NODE if verdict is Verdict.MASKED else None
            self._ledger.record(result(verdict, masked_by=masked_by, **self._session(endpoint)))
        self._scrapes += 1
        body, form = exposition(self._registry, request.headers.get("Accept"))
        return web.Response(body=body, headers={"Content-Type": form})

    def _verdict(self, number: int) -> Verdict:
        turn = number + self._scrapes
        return tuple(Verdict)[turn // 10 % len(Verdict)] if turn % 10 == 0 else Verdict.PRESERVED

    def _session(self, endpoint: Endpoint) -> dict[str, Any]:
        opened = time.time()
        who = {"path": endpoint.path, "service": endpoint.service, "port": endpoint.port}
        return {
            **who,
            "opened": opened,
            "closed": opened + 0.2,
            "phases": PHASES,
            "certificate_expiry": 2e9,
        }


def scraping(target: str) -> dict[str, Any]:
    """Ten vantages by one page: the label is put on by Prometheus."""
    jobs = [
        {
            "job_name": f"vantage-{number}",
            "static_configs": [{"targets": [target]}],
            "metric_relabel_configs": [{"target_label": "vantage", "replacement": f"vantage-{number}"}],
        }
        for number in range(VANTAGES)
    ]
    every = f"{EVERY:g}s"
    return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": jobs}


def asked(url: str, span: Span) -> Iterator[tuple[str, ...]]:
    """A row for each panel: answers, seconds of CPU."""
    board = json.loads(FILE.read_text(encoding="utf-8"))
    prometheus = Prometheus(url, span, chosen(board))
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel["title"], panel["type"], *_lowest(prometheus.of(panel), panel)


def _lowest(prometheus: Prometheus, panel: Panel) -> tuple[str, str]:
    took = []
    for _ in range(TURNS):
        begun = _cpu(prometheus.url)
        answers = len(prometheus.answers(panel))
        took.append(_cpu(prometheus.url) - begun)
    return f"{answers}", f"{min(took):.2f}"


def _cpu(url: str) -> float:
    with urlopen(f"{url}/metrics", timeout=60) as page:  # noqa: S310 - the Prometheus that was started here
        [seconds] = re.findall(r"^process_cpu_seconds_total (\S+)", page.read().decode(), re.M)
    return float(seconds)


async def measure(scrapes: int, steps: int) -> str:
    """The whole benchmark, as markdown."""
    with TemporaryDirectory(prefix="mailprobe-bench-") as name:
        folder = Path(name)
        async with serving(Page(folder)) as target:
            file = folder / "prometheus.yml"
            file.write_text(yaml.safe_dump(scraping(target.removeprefix("http://"))))
            own = (f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}")
            listen = "--web.listen-address=127.0.0.1:{port}"
            async with running("prometheus", "prometheus", *own, listen, ready="/-/ready") as url:
                begun = time.time()
                await asyncio.sleep(scrapes * EVERY)  # how much there is to read is what is set here
                end = time.time()
                span = Span(begin=begun, end=end, step=(end - begun) / steps, scrape=EVERY)
                rows = await asyncio.to_thread(lambda: list(asked(url, span)))
    heads = ("panel", "kind", "answers", "CPU s")
    facts = f"{VANTAGES} vantages, {PATHS} paths, {len(Service)} services; {steps} steps over {scrapes} scrapes"
    return f"{facts}. {machine()}.\n\n{markdown(heads, rows)}"


def main() -> int:
    parser = argparse.ArgumentParser(description="What the dashboard costs Prometheus.")
    parser.add_argument("--scrapes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    print(asyncio.run(measure(arguments.scrapes, arguments.steps)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
