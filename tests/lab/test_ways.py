"""The matrix through other sources: the same lines give the same verdicts, however they reach the probe.

Telling scenarios: an address proven and masked with every link, faults that only the log names, and company. With all
sources together every line comes three times and is still one. `make ways` goes through the whole matrix by every way,
which takes too long for every day.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.evidence.sources import journals, relays
from tests.lab import SCENARIOS, Lab
from tests.lab.conftest import running_lab
from tests.lab.ways import LOKI_PORT, WAYS, Way, lossy

TELLING = (
    "local",
    "cluster",
    "cluster-busy",
    "header-missing",
    "imprint-reject",
)
BUSY = ("cluster-busy",)
"""Twenty sessions a second that look alike: told apart by moments, which other tests beside it blur."""

CORE = ("cluster", "header-missing")
"""Of the older generation: what differs there is how lines read, and every way brings all kinds of them."""

WHOLE = os.environ.get("WAYS") == "whole"
"""Every scenario in which logs are read, in both generations."""

SINGLE = ("stdin", "syslog", "journald", "loki", "kubernetes")
BROKEN = tuple(
    (way, scenario) for way in ("loki-by-query", "kubernetes-breaking-off") for scenario in ("local", "cluster")
)
TOGETHER = tuple(("together", scenario) for scenario in ("local", "cluster", "cluster-busy", "imprint-reject"))
NEEDS = {
    "syslog": relays.USABLE,
    "journald": journals.USABLE,
    "together": relays.USABLE and journals.USABLE,
}
LOKI_NAME, PODS_NAME = f'loki:127.0.0.1:{LOKI_PORT} {{namespace="mailserver"}}', "kubernetes:mailserver/app=mailserver"
NAMES = {"loki": {LOKI_NAME}, "loki-by-query": {LOKI_NAME}, "kubernetes": {PODS_NAME}}
SAID = {
    "loki-by-query": "does not open a websocket",
    # A stream that breaks off is opened again and no trouble; a request that breaks off before its answer is one.
    "kubernetes-breaking-off": "the connection failed",
}
OLDER, NEWER = "debian12", "debian13"


def _cells() -> Iterator[tuple[str, str, str]]:
    """Generation, way and scenario."""
    whole = tuple(name for name, scenario in SCENARIOS.items() if scenario.reads_logs)
    for way in SINGLE:
        yield from ((NEWER, way, scenario) for scenario in (whole if WHOLE else TELLING))
        yield from ((OLDER, way, scenario) for scenario in (whole if WHOLE else CORE))
    yield from ((NEWER, *cell) for cell in (*BROKEN, *TOGETHER))


def _group(generation: str, way: str, scenario: str = "") -> str:
    """Each a lab of its own, so that they run side by side."""
    if WHOLE:
        return f"ways-{generation}-{way}"
    if scenario in BUSY:
        return f"calm-{generation}"
    half = 1 if way in SINGLE[:3] else 2
    return f"ways-{generation}-{half if generation == NEWER else 0}"


def _lab(generation: str, way: str, scenario: str = "") -> tuple[str, str]:
    return generation, _group(generation, way, scenario)


def _marks(generation: str, way: str, scenario: str) -> list[pytest.MarkDecorator]:
    calm = [pytest.mark.calm] if scenario in BUSY else []
    return [pytest.mark.xdist_group(_group(generation, way, scenario)), *calm]


CELLS = [
    pytest.param(
        _lab(generation, way, scenario),
        way,
        scenario,
        marks=_marks(generation, way, scenario),
        id=f"{generation}-{way}-{scenario}",
    )
    for generation, way, scenario in _cells()
]
both_generations = pytest.mark.parametrize(
    "lab",
    [
        pytest.param(
            _lab(generation, "stdin"), marks=pytest.mark.xdist_group(_group(generation, "stdin")), id=generation
        )
        for generation in (OLDER, NEWER)
    ],
    indirect=True,
)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param[0]) as running:
        yield running


@pytest.fixture(scope="module")
def taken(lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[str, Way]]:
    """A way that is there for all of its scenarios."""
    way = request.param
    if not NEEDS.get(way, True):
        pytest.skip(f"what {way} needs is not installed: sh tests/lab/install.sh")
    with WAYS[way](lab) as running:
        yield way, running


@pytest.mark.parametrize(("lab", "taken", "scenario"), CELLS, indirect=["lab", "taken"], scope="module")
def test_the_same_verdicts_by_every_way(lab: Lab, taken: tuple[str, Way], scenario: str) -> None:
    way, running = taken
    with lab.in_force(SCENARIOS[scenario]) as case:
        done = running.run(lab, "--once", "--config", str(running.config(case)), "--format", "json")
    assert done.stdout, done.stderr
    sessions = {session["service"]: session for session in json.loads(done.stdout)["sessions"]}
    for service, due in case.expected.items():
        session = sessions[service]
        assert due.allows(session["verdict"]), (session["verdict"], session["explanation"], done.stderr)
        if session["verdict"] == due.verdict:
            assert session["masked_by"] == due.masked_by, session
        assert len({(seen["link"], seen["address"]) for seen in session["sightings"]}) == len(session["sightings"])
        names = {seen["source"] for seen in session["sightings"] if seen["link"] not in ("reply", "message")}
        assert names <= NAMES.get(way, names), session
    assert all(SAID[way] in line for line in done.stderr.splitlines() if way in SAID), done.stderr
    assert (SAID["loki-by-query"] in done.stderr) is (way == "loki-by-query"), done.stderr


def unverified(lab: Lab, scenario: str, dropping: str) -> str:
    """What is said of a session on port 25 when a shipper drops these lines."""
    way = lossy(lab, dropping)
    with lab.in_force(SCENARIOS[scenario]) as case:
        done = way.run(lab, "--once", "--config", str(way.config(case)), "--format", "json")
    session = json.loads(done.stdout)["sessions"][0]
    assert (session["service"], session["verdict"]) == ("smtp", "unverified"), session
    return str(session["explanation"])


@both_generations
def test_a_source_without_a_line_is_named(lab: Lab) -> None:
    said = unverified(lab, "plain-smtpd", ".")
    assert "file:- is up but has brought no line at all: see that the server logs there" in said


@both_generations
def test_a_shipper_that_drops_lines_is_named(lab: Lab) -> None:
    said = unverified(lab, "first-contact", "disconnect from\\|CONNECT from")
    assert "file:- has a connect from our address and not our disconnect: look for a filter that drops lines" in said
