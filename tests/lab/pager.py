"""From the metrics to whoever is paged: Debian's Prometheus and Alertmanager in a lab's vantage, and who listens.

Rule 1: they run on the files of deploy/prometheus; only addresses in them are the lab's, and where somebody is in a
        hurry all times are shorter by one factor. Expressions, routes and inhibitions are those that users get. For how
        long an alert is kept when its fault is over has a bound of its own, so that nobody waits for that.
Rule 2: a notification counts from when it arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.lab import Lab
from tests.lab.daemon import LISTEN, PROMETHEUS, beside
from tests.lab.servers import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy/prometheus"
ALERTMANAGER, WEBHOOK = 9093, 9099
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TIMES = re.compile(r"(\[|offset )(\d+)([smhd])\b")
"""Times within an expression, but for those in sums with time()."""

APART = re.compile(r">= 20\b")
"""The seconds between two sessions that make a page."""

KEYS = ("interval", "for", "keep_firing_for", "group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One notification: when it came, to whom (`pager`, `chat`), and what it says."""

    at: float
    receiver: str
    content: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.content["status"])

    def tells(self, alert: str, status: str, **labels: str) -> bool:
        """Whether it has this alert with these labels in this state."""
        wanted = {"alertname": alert, **labels}.items()
        return any(one["status"] == status and wanted <= one["labels"].items() for one in self.content["alerts"])


@dataclass(kw_only=True)
class Pager:
    """A webhook that remembers, and the two programs before it."""

    lab: Lab
    notices: list[Notice] = field(default_factory=list)

    def first(self, alert: str, status: str = "firing", since: float = 0.0, **labels: str) -> Notice | None:
        """The first notification since then that tells it."""
        return next((one for one in self.notices if one.at >= since and one.tells(alert, status, **labels)), None)

    def quiet(self) -> bool:
        """Whether every page was taken back, as a whole."""
        latest = {one.content["groupKey"]: one.status for one in self.notices if one.receiver == "pager"}
        return set(latest.values()) <= {"resolved"}

    def wait(self, alert: str, status: str = "firing", *, since: float, seconds: float, **labels: str) -> Notice:
        """The same, as soon as it is there."""
        wait_until(lambda: self.first(alert, status, since, **labels) is not None, f"{alert} {status}", seconds)
        found = self.first(alert, status, since, **labels)
        assert found is not None
        return found


def hurried(text: str, factor: int) -> Any:
    """The content of a rules or Alertmanager file, with every time shorter by this factor, but never below 1 s."""

    def shorter(amount: str, unit: str) -> str:
        return f"{max(1, round(int(amount) * UNITS[unit] / factor))}s"

    def walk(value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: walk(one, str(name)) for name, one in value.items()}
            case list():
                return [walk(one) for one in value]
            case str() if key in KEYS and (told := re.fullmatch(r"(\d+)([smhd])", value)):
                return shorter(told[1], told[2])
            case str() if key == "expr":
                sooner = TIMES.sub(lambda told: told[1] + shorter(told[2], told[3]), value)
                return APART.sub(f">= {20 / factor:g}", sooner)
        return value

    return walk(yaml.safe_load(text))


def alertmanager(factor: int = 1) -> Any:
    """The example, always by day: its receivers are this pager's already."""
    content = hurried((DEPLOY / "alertmanager.example.yaml").read_text(encoding="utf-8"), factor)
    for route in content["route"]["routes"]:
        route.pop("active_time_intervals", None)
    return content


def kept(rule: Mapping[str, Any]) -> int:
    """Seconds for which it goes on when its expression does not hold any more."""
    told = re.fullmatch(r"(\d+)([smhd])", rule.get("keep_firing_for", "0s"))
    assert told
    return int(told[1]) * UNITS[told[2]]


def rules_kept_for(text: str, most: int) -> Any:
    """The content of a rules file; no alert in it goes on for more than these seconds when its fault is over."""
    content = yaml.safe_load(text)
    for rule in (rule for group in content["groups"] for rule in group["rules"]):
        if kept(rule) > most:
            rule["keep_firing_for"] = f"{most}s"
    return content


@contextlib.contextmanager
def paged(
    lab: Lab, targets: Sequence[str] = (f"127.0.0.1:{LISTEN}",), *, factor: int = 1, most_kept: int
) -> Iterator[Pager]:
    """Prometheus that scrapes these targets, Alertmanager and the webhook, all ready.

    `most_kept`: seconds by which an alert ends at the latest once its fault is over, before the factor.
    """
    folder = lab.directory / "probe/pager"
    folder.mkdir(parents=True)
    rules = yaml.safe_dump(rules_kept_for((DEPLOY / "mailprobe.rules.yaml").read_text(encoding="utf-8"), most_kept))
    (folder / "mailprobe.rules.yaml").write_text(yaml.safe_dump(hurried(rules, factor)) if factor > 1 else rules)
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(alertmanager(factor)))
    scraping = yaml.safe_load((DEPLOY / "prometheus.example.yaml").read_text(encoding="utf-8"))
    job = scraping["scrape_configs"][0]
    job["static_configs"][0]["targets"] = list(targets)
    job["scrape_interval"] = f"{max(1, 10 // factor)}s"
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(scraping))
    one = Pager(lab=lab)
    with (
        _listening(lab, one.notices.append),
        beside(lab, _command("prometheus-alertmanager", folder), ALERTMANAGER),
        beside(lab, _command("prometheus", folder), PROMETHEUS),
    ):
        yield one


def _command(name: str, folder: Path) -> list[str]:
    program = shutil.which(name)
    assert program, f"no {name}: run tests/lab/install.sh as root"
    own = {
        "prometheus-alertmanager": [
            f"--config.file={folder / 'alertmanager.yaml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ALERTMANAGER}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
        ],
    }
    return [program, *own[name]]


@contextlib.contextmanager
def _listening(lab: Lab, heard: Callable[[Notice], None]) -> Iterator[None]:
    """The webhook, on a loop and in a thread of its own: whoever tests is no coroutine."""
    listener = lab.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", WEBHOOK))

    async def notified(request: web.Request) -> web.Response:
        heard(Notice(at=time.time(), receiver=request.match_info["receiver"], content=json.loads(await request.text())))
        return web.Response()

    loop = asyncio.new_event_loop()
    application = web.Application()
    application.router.add_post("/{receiver}", notified)
    runner = web.AppRunner(application)

    async def begin() -> None:
        await runner.setup()
        await web.SockSite(runner, listener).start()

    loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
