"""The `deliver` imprint on real servers: what is left in the mailbox, how long it took, what is said where it fails.

The verdicts are test_matrix.py's; here is what a verdict does not show.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from probe.sessions.deliver import Letter
from probe.sessions.mailbox import LEFTOVER
from tests.lab import SCENARIOS, Generation, Lab, find_all
from tests.lab.addresses import USER
from tests.lab.scenarios import SMTP_SERVICES

GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"deliver-{name}")) for name in sorted(find_all())]


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    found = find_all()[request.param]
    if not isinstance(found, Generation):
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"no lab of {found.name}: {found.reason}")
    with Lab(generation=request.param) as running:
        yield running


def sessions(lab: Lab, scenario: str) -> dict[str, dict[str, Any]]:
    """The sessions of the three SMTP services, by service."""
    with lab.in_force(SCENARIOS[scenario]) as case:
        done = lab.probe("--once", "--config", str(case.config_file), "--format", "json", timeout=120)
    told = {session["service"]: session for session in json.loads(done.stdout)["sessions"]}
    return {service: told[service] for service in SMTP_SERVICES}


def delay(session: dict[str, Any]) -> float:
    return sum(float(timing["seconds"]) for timing in session["phases"] if timing["phase"] == "delivery")


def queued(lab: Lab) -> int:
    return lab.postfix_log.read_text().count("(queue active)")


def test_one_message_each_and_none_is_left(lab: Lab) -> None:
    before, messages = lab.mailbox(), queued(lab)
    for session in sessions(lab, "deliver").values():
        (sighting,) = session["sightings"]
        assert sighting["link"] == "message"
        assert sighting["line"].startswith("Received: from ")
        assert [timing["phase"] for timing in session["phases"]][-2:] == ["quit", "delivery"]
    assert lab.mailbox() == before
    assert queued(lab) - messages == len(SMTP_SERVICES)


def test_a_greylist_shows_as_delay(lab: Lab) -> None:
    # The first time, or the greylist knows us already.
    told = sessions(lab, "deliver-greylisted")
    assert {service: session["verdict"] for service, session in told.items()} == dict.fromkeys(told, "preserved")
    assert all(2 < delay(session) < 8 for session in told.values()), told
    assert "Greylisted, see you later" in lab.postfix_log.read_text()


def test_a_full_mailbox_is_told_with_the_reply(lab: Lab) -> None:
    messages = queued(lab)
    for session in sessions(lab, "deliver-full").values():
        assert session["failed_phase"] == "delivery"
        assert f"the probe's own mailbox {USER} is full: 552 5.2.2" in session["explanation"]
    assert queued(lab) == messages
    assert "kept" in lab.mailbox()


def test_a_server_that_strips_received_is_told(lab: Lab) -> None:
    before = lab.mailbox()
    for session in sessions(lab, "deliver-stripped").values():
        assert "the message came without any Received header: the server strips them" in session["explanation"]
    for session in sessions(lab, "deliver-rewritten").values():
        assert "the server hides where a message came from" in session["explanation"]
    assert lab.mailbox() == before


def test_leftovers_are_swept_and_nothing_else(lab: Lab) -> None:
    now = time.time()
    texts = {
        "old": Letter(token="aaaa", sender="", recipient=USER, sent=now - LEFTOVER - 60).text,
        "young": Letter(token="bbbb", sender="", recipient=USER, sent=now - 60).text,
        "foreign": b"Subject: about X-Mailprobe-Token\r\nX-Mailprobe-Token: cccc\r\n\r\nNot ours.\r\n",
    }
    files = [lab.put_into_mailbox(name, text.removesuffix(b".\r\n")) for name, text in texts.items()]
    sessions(lab, "deliver")
    left = set(lab.mailbox())
    assert "old" not in left
    assert {"young", "foreign"} <= left
    for file in files:
        for path in (file, *file.parent.parent.glob(f"cur/{file.name}:*")):
            path.unlink(missing_ok=True)
