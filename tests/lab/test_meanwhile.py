"""The way in is lost amid a session: told within the connect timeout, twice, and not within the session's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import SCENARIOS, Lab
from tests.lab.conftest import running_lab
from tests.lab.scenarios import DROP, REJECT, UNANNOUNCED
from tests.lab.servers import wait_until
from tests.lab.world import NetworkState

PROBE = Path(sys.executable).with_name("probe")
GENERATION = "debian13"
CONNECT_SECONDS = 5.0
"""The default of timeouts.connect."""

LOST = (
    (DROP, "silent_drop", "dropped-meanwhile"),
    (UNANNOUNCED, "unannounced", "unannounced-meanwhile"),
    (REJECT, "refused", "refused-meanwhile"),
)

pytestmark = pytest.mark.xdist_group(f"meanwhile-{GENERATION}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab(GENERATION) as running:
        yield running


@pytest.mark.parametrize(("state", "verdict", "rule"), LOST, ids=[verdict for _, verdict, _ in LOST])
def test_a_way_that_is_lost_amid_a_session(lab: Lab, state: NetworkState, verdict: str, rule: str) -> None:
    """While postscreen makes a client wait that it does not know, nothing is on its way in either direction."""
    case = lab.apply(SCENARIOS["first-contact"])
    greeted = lab.postfix_log.read_text().count("CONNECT from")
    command = [str(PROBE), "--once", "--config", str(case.config_file), "--format", "json"]
    probe = lab.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: lab.postfix_log.read_text().count("CONNECT from") > greeted, "postscreen's first word")
    lost = time.monotonic()
    lab.apply_network(state)
    said, complaints = probe.communicate(timeout=60)
    (session,) = json.loads(said)["sessions"]
    assert (session["verdict"], session["rule"]) == (verdict, rule), (session, complaints)
    assert "failed in phase greeting" in session["explanation"], session
    # Once until nothing is acknowledged, once for the new connect; REJECT and ICMP answer that one at once.
    assert time.monotonic() - lost < 2 * CONNECT_SECONDS + 8
