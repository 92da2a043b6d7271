"""A fault on real servers pages somebody, once, and is taken back: through Debian's Prometheus and Alertmanager.

The files are those of deploy/prometheus, with all times shorter by FACTOR; bench/bench_alerts.py plays every alert with
the times as they are.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from tests.lab import SCENARIOS, Lab, find_all
from tests.lab.addresses import SERVICES
from tests.lab.conftest import running_lab
from tests.lab.daemon import Watched, probing
from tests.lab.pager import ALERTMANAGER, Notice, Pager, paged
from tests.lab.servers import wait_until
from tests.lab.test_daemon import BRISK

FACTOR, KEPT = 20, 360
PATH = "local"
SOON, LATER = 45.0, 90.0
"""Seconds by which a fault has paged, and by which it is taken back: far more than they take, for busy machines."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    for program in ("prometheus", "prometheus-alertmanager", "amtool"):
        if not shutil.which(program):
            pytest.skip(f"no {program}: run tests/lab/install.sh as root")
    with running_lab(min(find_all())) as running:
        yield running


@pytest.mark.xdist_group("lab-alerts")
def test_a_fault_pages_once_and_is_taken_back(lab: Lab) -> None:
    with probing(lab, SCENARIOS[PATH], BRISK), paged(lab, factor=FACTOR, most_kept=KEPT) as pager:
        one = Watched(lab)
        all_well(one)
        began = changes(lab, "drop")
        notice = pager.wait("MailprobeSilentDrop", since=began, seconds=SOON, path=PATH, service="smtp")
        assert notice.receiver == "pager"
        assert summaries(notice) >= {f"{PATH}/smtp: connections vanish without an answer (silent_drop), seen from lab"}
        changes(lab, "cluster")
        wait_until(lambda: "MailprobeMasked" in firing(one), "masked beside the drop", SOON)
        changes(lab, "drop")
        wait_until(lambda: all(value == "silent_drop" for value in one.verdicts().values()), "the drop again", SOON)
        over = changes(lab, PATH)
        wait_until(lambda: paging(pager)[-1].status == "resolved", "the page taken back", LATER)
        assert pager.first("MailprobeSilentDrop", "resolved", over, path=PATH)
        assert len({told.content["groupKey"] for told in paging(pager)}) == 1
        assert [told.status for told in paging(pager)].count("resolved") == 1
        wait_until(lambda: firing(one) <= {"MailprobeShortOutage"}, "an end of every other alert", LATER)
        drained(lab, one, pager)


def drained(lab: Lab, one: Watched, pager: Pager) -> None:
    """A drain that was announced: the alert fires, and nobody is paged."""
    command = ["amtool", f"--alertmanager.url=http://127.0.0.1:{ALERTMANAGER}", "silence", "add"]
    done = lab.run([*command, 'alertname=~"Mailprobe.+"', f"path={PATH}", "--duration=5m", "--comment=drain"])
    assert done.returncode == 0, done.stderr
    before = len(paging(pager))
    changes(lab, "drop")
    wait_until(lambda: "MailprobeSilentDrop" in firing(one), "the alert", SOON)
    wait_until(lambda: suppressed(lab) >= len(SERVICES), "Alertmanager silencing it", SOON)
    changes(lab, PATH)
    wait_until(lambda: "MailprobeSilentDrop" not in firing(one), "the end of it", LATER)
    assert paging(pager)[before:] == []


def paging(pager: Pager) -> list[Notice]:
    """What the pager was told of the outage, by the status of its whole group; masking has a group of its own."""
    outage = [told for told in pager.notices if "Masked" not in told.content["groupKey"]]
    return [told for told in outage if told.receiver == "pager"]


def changes(lab: Lab, scenario: str) -> float:
    """Switch the network; when it was in force."""
    lab.apply_network(SCENARIOS[scenario].network)
    return time.time()


def all_well(one: Watched) -> None:
    query = 'mailprobe_verdict{verdict="preserved"} == 1'
    wait_until(lambda: set(one.asked(query)) == set(SERVICES), "preserved in Prometheus", SOON)


def firing(one: Watched) -> set[str]:
    return set(one.asked('count by (alertname) (ALERTS{alertstate="firing"})', label="alertname"))


def suppressed(lab: Lab) -> int:
    """Alerts of the path that Alertmanager holds back."""
    command = ["amtool", f"--alertmanager.url=http://127.0.0.1:{ALERTMANAGER}", "-o", "json", "alert", "query"]
    done = lab.run([*command, "--silenced", "alertname=MailprobeSilentDrop", f"path={PATH}"])
    assert done.returncode == 0, done.stderr
    return done.stdout.count('"state":"suppressed"')


def summaries(notice: Notice) -> set[str]:
    return {one["annotations"]["summary"] for one in notice.content["alerts"]}
