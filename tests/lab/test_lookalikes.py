"""No lucky guess: hundreds of sessions among clients that look just like ours, and not one wrong link.

What is true comes from elsewhere than the log: where the source is masked, from the node's conntrack table (which
port did it give to our connection?), which Postfix and Dovecot name in their lines; where it is not, from the
address, because no other client has ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import VERIFIED as VERIFIED_COUNT
from tests.lab import SCENARIOS, Choices, Lab, find_all
from tests.lab.addresses import NODES, VANTAGE, VIP
from tests.lab.conftest import running_lab

pytestmark = pytest.mark.calm

PATHS = 4
ROUNDS = 8
SESSIONS = PATHS * 4 * ROUNDS
"""Of each of the four tests: 128, in all 512."""

VERIFIED = 0.99
RATE = 10.0
"""Look-alike sessions a second, beside our own: sixteen at once in each round, and the beats."""

MAPPED = re.compile(r" sport=(\d+) dport=(\d+) src=\S+ dst=(\S+) sport=\d+ dport=(\d+)")


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    generation, port_logging = request.param
    with running_lab(generation, Choices(port_logging=port_logging)) as running:
        yield running


def labs(*, port_logging: bool) -> list[Any]:
    """One lab per generation, each in a worker of its own, with its cells of test_ways.py: both take as long."""
    return [
        pytest.param((name, port_logging), marks=pytest.mark.xdist_group(f"calm-{name}"), id=name)
        for name in sorted(find_all())
    ]


@pytest.mark.parametrize("lab", labs(port_logging=True), indirect=True)
def test_masked(lab: Lab, record_property: pytest.RecordProperty) -> None:  # type: ignore[name-defined]
    """Every client, ours and theirs, comes from the node's address."""
    right = unverified = 0
    for sessions in rounds(lab, "cluster"):
        ports = given_ports(lab)
        for session in sessions:
            assert session["verdict"] in {"masked", "unverified"}, session
            for sighting in session["sightings"]:
                assert sighting["address"] == NODES["node2"].v4, session
                assert sighting["port"] == ports[session["client"]["port"], session["port"]], session
            right += session["verdict"] == "masked"
            unverified += session["verdict"] == "unverified"
    record_property(VERIFIED_COUNT, f"masked, {lab.generation.name}: {right} of {SESSIONS}")
    assert right + unverified == SESSIONS
    assert right >= VERIFIED * SESSIONS


@pytest.mark.parametrize("lab", labs(port_logging=False), indirect=True)
def test_not_masked(lab: Lab, record_property: pytest.RecordProperty) -> None:  # type: ignore[name-defined]
    """Every client comes from its own address; only our fingerprints, ports and session ids tell us from each other."""
    right = unverified = 0
    for sessions in rounds(lab, "local"):
        for session in sessions:
            assert session["verdict"] in {"preserved", "unverified"}, session
            assert {sighting["address"] for sighting in session["sightings"]} <= {VANTAGE.v4}, session
            right += session["verdict"] == "preserved"
            unverified += session["verdict"] == "unverified"
    record_property(VERIFIED_COUNT, f"not masked, {lab.generation.name}: {right} of {SESSIONS}")
    assert right + unverified == SESSIONS
    assert right >= VERIFIED * SESSIONS


def rounds(lab: Lab, name: str) -> Iterator[list[dict[str, Any]]]:
    """Round after round of `probe --once` over several paths, among look-alikes."""
    case = lab.apply(SCENARIOS[name])
    # The node must remember our connections until we ask, also those that ended in a reset.
    lab.run(["sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_timeout_close=120"], namespace="node2")
    settings = json.loads(case.config_file.read_text())
    (path,) = settings["paths"]
    settings["paths"] = [{**path, "name": f"way{number}"} for number in range(PATHS)]
    config = lab.directory / "lookalikes.yaml"
    config.write_text(json.dumps(settings))
    with lab.lookalikes(RATE, host=VIP.v4):
        for _ in range(ROUNDS):
            done = lab.probe("--once", "--config", str(config), "--format", "json", timeout=60)
            assert done.stdout, done.stderr
            yield json.loads(done.stdout)["sessions"]


def given_ports(lab: Lab) -> dict[tuple[int, int], int]:
    """Which port the node gave to our connection, by our own port and the service's."""
    listed = lab.run(["conntrack", "-L", "-p", "tcp", "--orig-src", VANTAGE.v4], namespace="node2")
    found = {}
    for line in listed.stdout.splitlines():
        if mapped := MAPPED.search(line):
            ours, service, node, given = mapped.groups()
            assert node == NODES["node2"].v4
            found[int(ours), int(service)] = int(given)
    return found
