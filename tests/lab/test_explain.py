"""`probe explain` on what real servers log: the faults of the lab, told from the log alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from probe.settings.loading import SYSTEM_FILE
from tests.lab import SCENARIOS, Lab, find_all
from tests.lab.addresses import VIP
from tests.lab.conftest import running_lab

GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"explain-{name}")) for name in sorted(find_all())]
CLIENTS = 12
MAILS = f"""
import smtplib
for _ in range({CLIENTS}):
    with smtplib.SMTP({VIP.v4!r}, 25, local_hostname="client.lab.test") as client:
        client.ehlo(); client.mail("a@lab.test"); client.rset()
"""


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param) as running:
        yield running


def explained(lab: Lab, name: str, room: Path, *, mails: bool = False) -> dict[bool, dict[str, Any]]:
    """A round of the probe in a scenario, and then its lines explained, with the configuration (True) and without."""
    logs = (lab.postfix_log, lab.dovecot_log)
    began = [log.stat().st_size if log.exists() else 0 for log in logs]
    with lab.in_force(SCENARIOS[name]) as case:
        if mails:
            lab.run([sys.executable, "-c", MAILS], timeout=120)
        lab.probe("--once", "--config", str(case.config_file), timeout=120)
        files = [room / log.name for log in logs]
        for log, start, file in zip(logs, began, files, strict=True):
            file.write_bytes(log.read_bytes()[start:])
        return {named: _explain(lab, case.config_file if named else None, files, room) for named in (True, False)}


def _explain(lab: Lab, config: Path | None, files: list[Path], room: Path) -> dict[str, Any]:
    if config is None and SYSTEM_FILE.exists():
        pytest.skip(f"probe explain takes names from {SYSTEM_FILE}, and this machine has one")
    given = ["--config", str(config)] if config else []
    done = lab.probe("explain", "--format", "json", *given, *map(str, files), cwd=room)
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == told["exit_code"]
    return told


def rules(told: dict[str, Any]) -> dict[str, str]:
    return {finding["rule"]: finding["severity"] for finding in told["findings"]}


def test_mail_through_a_node(lab: Lab, tmp_path: Path) -> None:
    told = explained(lab, "cluster", tmp_path, mails=True)
    masked = told[True]["findings"][0]
    assert (masked["rule"], masked["severity"]) == ("masked", "critical")
    assert masked["sentence"].startswith(
        f"All {CLIENTS} clients at postfix/postscreen that began a mail or a login come"
    )
    assert "10.0.20.102 (node2), a cluster node" in masked["sentence"]
    assert "[10.0.20.102]" in masked["first_line"]
    assert told[True]["clients"]["stand_ins_share"] == 1.0
    assert "critical" not in rules(told[False]).values()
    assert told[False]["status"] == "unknown"


def test_clients_that_come_as_themselves(lab: Lab, tmp_path: Path) -> None:
    told = explained(lab, "local", tmp_path, mails=True)
    assert told[True]["clients"]["stand_ins"] == 0
    assert rules(told[True]) == {"no-clients": "unknown", "nobody": "ok"}  # all of it is the vantage's own
    assert "critical" not in rules(told[False]).values()


@pytest.mark.parametrize(
    ("name", "due"),
    [
        ("header-missing", {"header-missing": "warning"}),
        ("header-unexpected", {"header-unexpected": "warning", "handshakes": "ok"}),
        ("header-untrusted", {"header-untrusted": "critical"}),
        ("throttled", {"throttled": "critical", "health-check": "warning"}),
        ("rate-limited", {"probe-limit": "warning"}),
    ],
)
def test_faults(lab: Lab, tmp_path: Path, name: str, due: dict[str, str]) -> None:
    told = explained(lab, name, tmp_path)[True]
    found = rules(told)
    assert {rule: found.get(rule) for rule in due} == due, told["findings"]
    assert told["not_understood"] == []
