"""`probe watch` on real servers: drains are found as long as they were, and no server counts what finds them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from subprocess import PIPE

import pytest

from tests.lab import SCENARIOS, Lab, find_all
from tests.lab.addresses import RATE_LIMITED, SERVICES
from tests.lab.conftest import running_lab
from tests.lab.drain import PROBE, WATCHING, unreachable, watched_drains

LATE = (1.2, 2.9, 1.7)
"""Seconds by which the address follows the pod; bench_drains.py plays more of them, and longer ones."""

OFF = 0.3
"""Seconds by which a length may be off at a cadence of 0.2 s; where a busy machine knocked less often, its bound."""

HANG_UPS = ("lost connection after CONNECT", "HANGUP", "Transport endpoint is not connected", "unknown[unknown]")
"""What connections that say nothing leave in Postfix's log."""

pytestmark = pytest.mark.xdist_group("lab-watch")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab(max(find_all())) as running:
        yield running


def test_drains_are_found_as_long_as_they_were(lab: Lab) -> None:
    told, record = watched_drains(lab, LATE)
    assert [endpoint["service"] for endpoint in told["endpoints"]] == list(SERVICES)
    for endpoint in told["endpoints"]:
        outages = unreachable(endpoint)
        assert len(outages) == len(record)
        for outage, drained in zip(outages, record, strict=True):
            assert drained.holds(outage), (outage, drained)
            assert drained.off_by(outage["seconds"]) <= max(OFF, outage["bound"]), (outage, drained)
        assert {one["verdict"] for one in endpoint["sessions"] if not one["in_outage"]} == {"preserved"}
    assert [one["value"] for one in told["announcers"]] == ["node1", "node2", "node1", "node2"]
    assert told["nodes"][-1]["value"] in ("0", "1")
    assert (told["rule"], told["exit_code"]) == ("outage-seen", 2)


def test_no_server_counts_a_knock(lab: Lab) -> None:
    """Listeners that grant one connection an hour: the session of the baseline is it."""
    limited = replace(
        SCENARIOS["local"], name="watch-limited", ports=RATE_LIMITED, expected=SCENARIOS["rate-limited"].expected
    )
    case = lab.apply(limited)
    config = case.config_file.with_name("watch.yaml")
    changed = {**json.loads(case.config_file.read_text()), "schedule": {"interval": "2m", "max_sessions_per_minute": 1}}
    config.write_text(json.dumps(changed))
    before = len(lab.postfix_log.read_text())
    command = [str(PROBE), "watch", "--config", str(config), "--format", "json"]
    with lab.popen(command, namespace="vantage", stdout=PIPE, stderr=PIPE) as watch:
        assert watch.stderr is not None
        assert any(WATCHING in line for line in watch.stderr)
        time.sleep(2)  # for how long it is watched is what is asked for
        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=60)
    assert out, err
    told = json.loads(out)
    log = lab.postfix_log.read_text()[before:]
    assert (watch.returncode, told["sentence"]) == (0, "nobody was out")
    assert [[one["verdict"] for one in endpoint["sessions"]] for endpoint in told["endpoints"]] == [["preserved"]] * 3
    assert all(endpoint["cadence"]["sent"] >= 8 for endpoint in told["endpoints"])
    counted = sum(endpoint["cadence"]["counted"] for endpoint in told["endpoints"])
    assert sum(sign in line for line in log.splitlines() for sign in HANG_UPS) <= 2 * counted, log
    assert "rate limit exceeded" not in log
