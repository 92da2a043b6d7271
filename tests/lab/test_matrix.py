"""The product on real servers: every scenario × service × server generation gets the verdict it must.

What runs is the command, inside the lab's vantage, as a user would type it, but for its start (tests/loaded.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import CELL
from tests.lab import SCENARIOS, Lab, find_all
from tests.lab.conftest import running_lab

HALVES = 2
"""Labs per generation that go through the table side by side: the time is spent waiting for the servers' timeouts."""


def cells() -> Iterator[object]:
    """Every scenario in every generation; neighbours in the table go to different labs."""
    for generation in sorted(find_all()):
        for number, name in enumerate(SCENARIOS):
            half = number % HALVES
            group = pytest.mark.xdist_group(f"matrix-{generation}-{half}")
            yield pytest.param((generation, half), name, marks=group, id=f"{generation}-{name}")


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    generation, _ = request.param
    with running_lab(generation) as running:
        yield running


@pytest.mark.parametrize(("lab", "name"), list(cells()), indirect=["lab"], scope="module")
def test_every_cell_of_the_matrix(lab: Lab, name: str, record_property: pytest.RecordProperty) -> None:  # type: ignore[name-defined]
    with lab.in_force(SCENARIOS[name]) as case:
        done = lab.probe("--once", "--config", str(case.config_file), "--format", "json", timeout=120)
    assert done.stdout, done.stderr
    sessions = {session["service"]: session for session in json.loads(done.stdout)["sessions"]}
    got = {service: session["verdict"] for service, session in sessions.items()}
    record_property(CELL, f"{name:24} {lab.generation.name:9} {shown(got)}")
    for service, due in case.expected.items():
        session = sessions[service]
        assert due.allows(session["verdict"]), (service, session["verdict"], session["explanation"])
        if session["verdict"] == due.verdict:
            assert session["masked_by"] == due.masked_by, session


def shown(verdicts: dict[str, str]) -> str:
    """One verdict where all services agree."""
    if len(set(verdicts.values())) == 1 and len(verdicts) > 1:
        return f"{next(iter(verdicts.values()))} ({len(verdicts)} services)"
    return ", ".join(f"{service} {verdict}" for service, verdict in verdicts.items())
