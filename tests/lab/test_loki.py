"""Evidence by way of Loki: the servers' real lines, shipped to a scripted Loki, give the verdicts of the matrix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import SCENARIOS, Generation, Lab, find_all

PROBE = Path(sys.executable).with_name("probe")
REPOSITORY = Path(__file__).parents[2]
PORT = 3100
URL = f"http://127.0.0.1:{PORT}"

GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"loki-{name}")) for name in sorted(find_all())]


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    found = find_all()[request.param]
    if not isinstance(found, Generation):
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"no lab of {found.name}: {found.reason}")
    with Lab(generation=request.param) as running:
        yield running


@pytest.fixture(params=["by tail", "by query"])
def way(lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Loki in the vantage's network, and a shipper that feeds it."""
    refuses = ["--no-tail"] if request.param == "by query" else []
    loki = lab.popen(
        [sys.executable, "-m", "tests.evidence.sources.scripted_loki", str(PORT), *refuses],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert loki.stdout is not None
    assert loki.stdout.readline().strip() == str(PORT)
    files = [str(lab.postfix_log), str(lab.dovecot_log)]
    shipper = lab.popen([sys.executable, "-m", "tests.lab.loki_shipper", URL, *files], cwd=REPOSITORY)
    yield request.param
    for process in (shipper, loki):
        process.terminate()
        process.wait()


@pytest.mark.parametrize("scenario", ["local", "cluster"])
def test_lines_by_way_of_loki_prove_what_the_matrix_says(lab: Lab, way: str, scenario: str) -> None:
    with lab.in_force(SCENARIOS[scenario]) as case:
        content = json.loads(case.config_file.read_text())
        content["evidence"]["sources"] = [{"kind": "loki", "url": URL, "query": '{namespace="mailserver"}'}]
        content["timeouts"]["evidence"] = "10s"
        config = case.config_file.with_name("loki.yaml")
        config.write_text(json.dumps(content))
        done = lab.run([str(PROBE), "--once", "--config", str(config), "--format", "json"], timeout=120)
    assert done.stdout, done.stderr
    sessions = json.loads(done.stdout)["sessions"]
    got = {session["service"]: (session["verdict"], session["masked_by"]) for session in sessions}
    assert got == {service: (due.verdict, due.masked_by) for service, due in case.expected.items()}, done.stderr
    assert {sighting["source"] for session in sessions for sighting in session["sightings"]} == {
        f'loki:127.0.0.1:{PORT} {{namespace="mailserver"}}'
    }
    assert ("does not open a websocket" in done.stderr) is (way == "by query"), done.stderr
