"""Trust checks on real servers: what a check leaves behind, and that it is made at most once an hour.

The verdicts are test_matrix.py's; here is what a verdict does not show.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import SCENARIOS, Generation, Lab, find_all

PROBE = Path(sys.executable).with_name("probe")
GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"trust-{name}")) for name in sorted(find_all())]


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    found = find_all()[request.param]
    if not isinstance(found, Generation):
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"no lab of {found.name}: {found.reason}")
    with Lab(generation=request.param) as running:
        yield running


def test_one_check_an_hour_even_with_once(lab: Lab) -> None:
    for turn in range(2):
        with lab.in_force(SCENARIOS["spoof"]) as case:
            done = lab.run([str(PROBE), "--once", "--config", str(case.config_file), "--format", "json"], timeout=120)
        told = json.loads(done.stdout)
        assert {session["verdict"] for session in told["sessions"]} == {"spoofable"}
        assert done.stderr.count("sent a forged PROXY header") == (4 if turn == 0 else 0), done.stderr
    logged = lab.postfix_log.read_text() + lab.dovecot_log.read_text()
    claimed = re.findall(r"(?:\]: connect from unknown\[|CONNECT from \[|rip=)(192\.0\.2\.\d+)", logged)
    # postscreen and the smtpd behind it name the same client, each in its line.
    assert len(set(claimed)) <= 4
    assert len(claimed) == 5


def test_without_a_directory_to_remember_in_once_forges_nothing(lab: Lab) -> None:
    before = len(lab.postfix_log.read_text()), len(lab.dovecot_log.read_text())
    with lab.in_force(SCENARIOS["spoof"]) as case:
        content = json.loads(case.config_file.read_text())
        content["history"] = {"file": str(lab.directory / "missing" / "history.db")}
        config = case.config_file.with_name("forgetful.yaml")
        config.write_text(json.dumps(content))
        done = lab.run([str(PROBE), "--once", "--config", str(config), "--format", "json"], timeout=120)
    assert {session["verdict"] for session in json.loads(done.stdout)["sessions"]} == {"preserved"}
    assert done.stderr.count("trust check: not made") == 1
    assert f"install -d -o {os.geteuid()} {lab.directory / 'missing'}" in done.stderr
    assert "192.0.2." not in lab.postfix_log.read_text()[before[0] :] + lab.dovecot_log.read_text()[before[1] :]
