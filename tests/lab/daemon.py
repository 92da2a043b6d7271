"""`probe run` and Debian's Prometheus side by side in the lab's vantage, and what either shows of the mail server."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.lab import Lab
from tests.lab.scenario import Scenario
from tests.lab.servers import wait_until

PROBE = Path(sys.executable).with_name("probe")
LISTEN, PROMETHEUS = 9797, 9090
SCRAPE_EVERY = "1s"


@dataclass(frozen=True, slots=True)
class Watched:
    """A daemon with Prometheus beside it. Times are the daemon's wall clock, which is this process's too."""

    lab: Lab

    def metrics(self) -> str:
        """The daemon's own page."""
        return self._get(LISTEN, "/metrics")

    def outages(self) -> list[dict[str, Any]]:
        """The daemon's outages, the latest first."""
        return self._listed("outages")

    def sessions(self) -> list[dict[str, Any]]:
        """The daemon's sessions, the one that was judged last first."""
        return self._listed("sessions")

    def _listed(self, name: str) -> list[dict[str, Any]]:
        """All of a list of the API, however many answers it takes."""
        listed: list[dict[str, Any]] = []
        where: str | None = f"/api/v1/{name}?limit=500"
        while where:
            page = json.loads(self._get(LISTEN, where))
            listed += page[name]
            where = page["next"]
        return listed

    def verdicts(self) -> dict[str, str]:
        """The verdict of each service by the daemon's metrics."""
        rows = (
            row for row in self.metrics().splitlines() if row.startswith("mailprobe_verdict{") and row[-4:] == " 1.0"
        )
        labels = (dict(pair.split("=") for pair in row.partition("{")[2].partition("}")[0].split(",")) for row in rows)
        return {one["service"].strip('"'): one["verdict"].strip('"') for one in labels}

    def asked(self, query: str, label: str = "service") -> dict[str, float]:
        """What Prometheus answers, by service, or by another label."""
        told = json.loads(self._get(PROMETHEUS, f"/api/v1/query?{urlencode({'query': query})}"))
        return {one["metric"].get(label, ""): float(one["value"][1]) for one in told["data"]["result"]}

    def answers(self, port: int) -> bool:
        """Whether somebody is ready there."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._get(port, "/-/ready")
            return True
        return False

    def _get(self, port: int, path: str) -> str:
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        asking.sock = self.lab.socket()  # a socket is of the namespace that it is made in
        asking.sock.settimeout(10)
        with contextlib.closing(asking):
            asking.sock.connect(("127.0.0.1", port))
            asking.request("GET", path)
            answer = asking.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status} {text[:200]}")
            return text


@contextlib.contextmanager
def probing(lab: Lab, scenario: Scenario, changed: Mapping[str, Any]) -> Iterator[Watched]:
    """The daemon, ready, on this scenario's configuration with these parts of it changed."""
    case = lab.apply(scenario)
    content = {**json.loads(case.config_file.read_text()), **changed}
    content["web"] = {"listen": f"127.0.0.1:{LISTEN}"}
    config = case.config_file.with_name("daemon.yaml")
    config.write_text(json.dumps(content))
    with beside(lab, [str(PROBE), "run", "--config", str(config)], LISTEN) as one:
        yield one


@contextlib.contextmanager
def watched(lab: Lab, scenario: Scenario, changed: Mapping[str, Any]) -> Iterator[Watched]:
    """The same, with Prometheus."""
    folder = lab.case(scenario).config_file.parent
    jobs = [{"job_name": "mailprobe", "static_configs": [{"targets": [f"127.0.0.1:{LISTEN}"]}]}]
    scraping = folder / "prometheus.json"
    scraping.write_text(json.dumps({"global": {"scrape_interval": SCRAPE_EVERY}, "scrape_configs": jobs}))
    prometheus = shutil.which("prometheus")
    assert prometheus, "apt install prometheus"
    command = [
        prometheus,
        f"--config.file={scraping}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
    ]
    with probing(lab, scenario, changed) as one, beside(lab, command, PROMETHEUS):
        yield one


@contextlib.contextmanager
def beside(lab: Lab, command: Sequence[str], port: int) -> Iterator[Watched]:
    """A program in the vantage, ready on that port, and ended afterwards."""
    one = Watched(lab)
    with (lab.directory / "log/watched.log").open("a") as log:
        child = lab.popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: one.answers(port), f"what listens on {port}", 30)
            yield one
        finally:
            child.terminate()
            child.wait(timeout=20)
