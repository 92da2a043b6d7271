"""Dovecot's count of logins on real servers of both generations: others get in, nobody does, another server answers."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from probe.evidence.dovecot_metrics import Reading, login_counter
from tests.lab import SCENARIOS, Generation, Lab, find_all
from tests.lab.addresses import METRICS, PLAIN_SMTPD, POD, VIP
from tests.lab.logins import SECOND_IMAPS, log_in, others_who_log_in, start_second_dovecot
from tests.lab.scenario import Expectation, Scenario, Secret

PAGE = f"http://{POD.v4}:{METRICS}/metrics"
PLACE = f"{POD.v4}:{METRICS}"
GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"logins-{name}")) for name in sorted(find_all())]
FINE = replace(
    SCENARIOS["local"],
    logins={"imaps": Secret.RIGHT, "submission": Secret.RIGHT},
    expected={service: Expectation(verdict="preserved") for service in ("smtp", "submission", "imaps")},
)
IMAPS = replace(FINE, expected={"imaps": Expectation(verdict="preserved")})
DROP = replace(
    SCENARIOS["drop"],
    logins={"imaps": Secret.RIGHT},
    expected={service: Expectation(verdict="silent_drop") for service in ("smtp", "imaps")},
)


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    found = find_all()[request.param]
    if not isinstance(found, Generation):
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"no lab of {found.name}: {found.reason}")
    with Lab(generation=request.param) as running:
        log_in(running)  # so that the counter is known to count
        yield running


def probed(lab: Lab, scenario: Scenario, url: str = PAGE, **changes: Any) -> tuple[dict[str, dict[str, Any]], str]:
    """The sessions of `probe --once` by service, with the page in the configuration, and what it said meanwhile."""
    case = lab.apply(scenario)
    settings = json.loads(case.config_file.read_text())
    del settings["topology"]  # whose causes come first
    settings["dovecot_metrics"] = {"url": url, **changes}
    case.config_file.write_text(json.dumps(settings))
    done = lab.probe("--once", "--config", str(case.config_file), "--format", "json", timeout=120)
    assert done.stdout, done.stderr
    sessions = {session["service"]: session for session in json.loads(done.stdout)["sessions"]}
    for service, due in case.expected.items():
        assert due.allows(sessions[service]["verdict"]), sessions[service]
    return sessions, done.stderr


def count(lab: Lab) -> float:
    script = "import asyncio,sys;from probe.topology.http_get import http_get as g;"
    script += f"sys.stdout.buffer.write(asyncio.run(g('{PAGE}',most=1<<20)).body)"
    reading = login_counter(lab.run([sys.executable, "-c", script]).stdout.encode())
    assert isinstance(reading, Reading), reading
    return reading.count


def test_a_login_that_is_counted_needs_no_word(lab: Lab) -> None:
    before = count(lab)
    sessions, said = probed(lab, FINE)
    assert [session["cause"] for session in sessions.values()] == [None] * 3
    assert "Dovecot at" not in str(sessions)
    assert not said
    assert count(lab) == before + 2  # imaps, and submission through Dovecot's authentication: each once


def test_others_get_in_while_our_path_drops(lab: Lab) -> None:
    with others_who_log_in(lab) as others:
        sessions, _ = probed(lab, DROP)
    imaps, smtp = sessions["imaps"], sessions["smtp"]
    assert others.logins > 10
    assert imaps["cause"] == "Others get in, so the fault is on our path."
    assert smtp["cause"] == "Others get in, so the fault is on our path, or at port 25 alone."
    counted = rf"Dovecot at {re.escape(PLACE)} counted [1-9][0-9]* logins"
    # The login that never was is not ours; but smtp may be told of while imaps is still on its way to one.
    assert re.search(counted + " in these ", imaps["explanation"])
    assert re.search(counted + r"(?: \(at most 1 of them ours\))? in these ", smtp["explanation"])


def test_nobody_gets_in(lab: Lab) -> None:
    sessions, _ = probed(lab, DROP)
    for session in sessions.values():
        assert session["cause"].startswith("Nobody ")
        assert f"Dovecot at {PLACE} counted no login in these " in session["explanation"]


def test_another_server_answers_on_the_address(lab: Lab) -> None:
    start_second_dovecot(lab)
    elsewhere = replace(
        FINE,
        host=POD.v4,
        ports={**FINE.ports, "imaps": SECOND_IMAPS},
        expected={"imaps": Expectation(verdict="unverified")},
    )
    sessions, _ = probed(lab, elsewhere)
    assert sessions["imaps"]["cause"] == (
        f"Another server answers on {POD.v4}: our login worked there, and the Dovecot that counts at {PLACE} has not "
        "counted it."
    )
    assert sessions["imaps"]["sightings"] == []


def test_a_login_of_ours_on_one_path_is_no_other_s_on_the_next(lab: Lab) -> None:
    """Two paths in one round: one drops, the other one logs in."""
    case = lab.apply(DROP)
    settings = json.loads(case.config_file.read_text())
    (path,) = settings["paths"]
    settings["paths"].append({**path, "name": "pod", "host": POD.v4})
    del settings["topology"]
    settings["dovecot_metrics"] = {"url": PAGE}
    case.config_file.write_text(json.dumps(settings))
    before = count(lab)
    done = lab.probe("--once", "--config", str(case.config_file), "--format", "json", timeout=120)
    sessions = json.loads(done.stdout)["sessions"]
    assert count(lab) == before + 1
    assert {session["verdict"] for session in sessions if session["path"] == "drop"} == {"silent_drop"}
    assert [session["cause"] for session in sessions] == [None] * len(sessions)


def test_a_page_on_the_address_that_drops_is_unknown(lab: Lab) -> None:
    sessions, said = probed(lab, DROP, f"http://{VIP.v4}:{METRICS}/metrics")
    assert [session["cause"] for session in sessions.values()] == [None, None]
    assert said.count("the count of logins is unknown") == 1
    assert "no answer within 3 s" in said


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://{POD.v4}:9/metrics", "Connection refused"),
        (f"http://{POD.v4}:{METRICS}/", "no metrics on the page, it begins with '<!DOCTYPE html>'"),
        (f"http://{POD.v4}:{METRICS}/nothing", "status 404"),
        (f"http://{POD.v4}:{PLAIN_SMTPD}/metrics", "closed within the head of its answer, it begins with"),
        (f"https://{POD.v4}:{METRICS}/metrics", "SSL"),
    ],
)
def test_a_page_that_cannot_be_read_disturbs_nothing(lab: Lab, url: str, why: str) -> None:
    sessions, said = probed(lab, IMAPS, url)
    assert sessions["imaps"]["cause"] is None
    assert said.count("the count of logins is unknown") == 1
    assert why in said


def test_a_counter_of_the_user_s_choice(lab: Lab) -> None:
    _, said = probed(lab, IMAPS, counter="dovecot_auth_failure")
    assert "dovecot_auth_failure_total is still 0 after a login of ours" in said
    _, said = probed(lab, IMAPS, counter='dovecot_logins_total{success="yes"}')
    assert 'dovecot_logins_total{success="yes"} is not on the page, which has dovecot_build_info' in said
