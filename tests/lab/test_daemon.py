"""The daemon on real servers, scraped by Debian's Prometheus: faults go on and off, and the metrics follow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from tests.lab import SCENARIOS, Lab, find_all
from tests.lab.addresses import SERVICES
from tests.lab.conftest import running_lab
from tests.lab.daemon import Watched, watched
from tests.lab.servers import wait_until

INTERVAL = 1.0
BRISK = {
    "schedule": {"interval": f"{INTERVAL:g}s", "jitter": "0%", "max_sessions_per_minute": 120},
    "timeouts": {"connect": "1s", "session": "10s", "evidence": "2s"},
}
BOUND = INTERVAL + 4
"""Seconds by which an outage may be told longer or shorter than it was: the interval, a connect, a wait for evidence,
and a second of a busy machine."""

RHYTHM = 8.0
"""Seconds for which an imaps session behind a node is looked for, with three rounds of beats; the next waits for it."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus: apt install prometheus")
    with running_lab(min(find_all())) as running:
        yield running


@pytest.mark.xdist_group("lab-daemon")
def test_faults_come_and_go_in_prometheus(lab: Lab) -> None:
    good = SCENARIOS["local"]
    with watched(lab, good, BRISK) as one:
        prometheus_tells(one, "preserved")
        for fault, verdict in (("cluster", "masked"), ("drop", "silent_drop")):
            before = outage_seconds(one)
            lab.apply_network(SCENARIOS[fault].network)
            began = time.monotonic()
            prometheus_tells(one, verdict)
            wait_until(lambda: lasts(one, before, BOUND), "an outage longer than what it may be off by", 30)  # noqa: B023
            lab.apply_network(good.network)
            lasted = time.monotonic() - began
            prometheus_tells(one, "preserved")
            after = outage_seconds(one)
            for service in SERVICES:
                told = after[service] - before[service]
                bound = BOUND + (RHYTHM if (fault, service) == ("cluster", "imaps") else 0.0)
                assert abs(told - lasted) < bound, (fault, service, told, lasted)
        assert len(one.outages()) == 2 * len(SERVICES)
        assert all(outage["ended"] for outage in one.outages())
        assert one.asked("mailprobe_config_last_reload_successful") == {"": 1.0}
        assert not (lab.directory / "log/watched.log").read_text().count("bug")


def prometheus_tells(one: Watched, verdict: str) -> None:
    """Wait until Prometheus has this verdict of every service, and of each no other."""
    want = dict.fromkeys(SERVICES, 1.0)
    other = f'mailprobe_verdict{{verdict!="{verdict}"}} == 1'
    query = f'mailprobe_verdict{{verdict="{verdict}"}} == 1 unless on (service) {other}'
    wait_until(lambda: one.asked(query) == want, f"{verdict} in Prometheus", 30)


def lasts(one: Watched, before: dict[str, float], seconds: float) -> bool:
    """Whether every service has been out for longer, since Prometheus told so."""
    return all(after > before[service] + seconds for service, after in outage_seconds(one).items())


def outage_seconds(one: Watched) -> dict[str, float]:
    """Of every service, as Prometheus has scraped them."""
    return one.asked("mailprobe_outage_seconds_total")
