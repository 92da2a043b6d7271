"""One canonical line per session, its level the verdict's severity; what stays as it is says so now and then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probe.model import Endpoint, MaskedBy, Service, Verdict
from probe.service.ledger import Ledger
from probe.service.logbook import REPEAT, UNSEEN, Logbook
from tests.builders import result, unable

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.ledger = Ledger([SMTP])
        logbook = Logbook(self._tell)
        self.ledger.listeners.append(logbook.note)
        self.ledger.farewells.append(logbook.part)

    @property
    def outages(self) -> list[tuple[str, float | None]]:
        """What it says of outages, with their seconds."""
        return [(line["event"], line.get("seconds")) for line in self.lines if line["event"] != "session"]

    def _tell(self, level: str, event: str, **fields: Any) -> None:
        self.lines.append({"level": level, "event": event, **fields})


def test_a_session_is_told_with_all_its_fields() -> None:
    log = Log()
    log.ledger.record(result(Verdict.MASKED, masked_by=MaskedBy.NODE))
    session, outage = log.lines
    assert session == {
        "level": "error",
        "event": "session",
        "path": "vip",
        "service": "smtp",
        "verdict": "masked",
        "masked_by": "node",
        "rule": "rule-of-masked",
        "host": "10.0.20.202",
        "port": 25,
        "address": "10.0.20.202",
        "client": "192.168.1.10:48782",
        "seconds": 1.0,
        "id": "ours",
        "sessions": 1,
    }
    assert outage == {
        "level": "error",
        "event": "outage began",
        "path": "vip",
        "service": "smtp",
        "verdict": "masked",
    }


def test_levels_are_severities() -> None:
    told = {}
    for verdict in Verdict:
        log = Log()
        log.ledger.record(result(verdict))
        told[verdict] = log.lines[0]["level"]
    assert told[Verdict.PRESERVED] == "info"
    assert {told[verdict] for verdict in (Verdict.UNVERIFIED, Verdict.RATE_LIMITED)} == {"warning"}
    assert told[Verdict.SPOOFABLE] == "error"


def test_repeats_are_told_once_in_a_while_with_their_number() -> None:
    log = Log()
    for number in range(25):
        log.ledger.record(result(Verdict.PRESERVED, opened=number * REPEAT / 10))
    assert [line["sessions"] for line in log.lines] == [1, 10, 10]


def test_a_change_is_told_at_once_and_ends_the_outage() -> None:
    log = Log()
    for opened, verdict in ((0.0, Verdict.REFUSED), (1.0, Verdict.REFUSED), (2.0, Verdict.PRESERVED)):
        log.ledger.record(result(verdict, opened=opened))
    assert log.outages == [("outage began", None), ("outage ended", 2.0)]
    assert [line["verdict"] for line in log.lines if line["event"] == "session"] == ["refused", "preserved"]


def test_an_outage_that_ends_amid_one_word_is_told_all_the_same() -> None:
    """Before it the vantage could open no session, which is `unverified` too."""
    log = Log()
    log.ledger.record(result(Verdict.REFUSED, opened=0.0))
    log.ledger.record(unable(1.0))
    log.ledger.record(result(Verdict.UNVERIFIED, opened=2.0))
    assert log.outages == [("outage began", None), ("outage ended", 2.0)]


@pytest.mark.parametrize("after", [[], [replace(SMTP, host="10.0.20.203")]])
def test_an_outage_that_a_reload_ends_is_told_with_why(after: list[Endpoint]) -> None:
    log = Log()
    for opened in (0.0, 30.0):
        log.ledger.record(result(Verdict.REFUSED, opened=opened))
    log.ledger.configure([SMTP], now=40.0)
    log.ledger.configure(after, now=50.0)
    assert log.outages == [("outage began", None), ("outage ended", 30.0)]
    assert log.lines[-1]["reason"] == UNSEEN


def test_one_that_lasted_as_the_process_before_ended_is_told_to_be_over_where_it_is() -> None:
    """It left the configuration meanwhile; or is heard of only after a session of this process found it over."""
    before = Ledger([SMTP])
    before.record(result(Verdict.REFUSED, opened=10.0))
    gone = Log()
    gone.ledger.configure([])
    gone.ledger.part_with(before.known)
    assert gone.outages == [("outage ended", 0.0)]
    late, early = Log(), Log()
    late.ledger.record(result(Verdict.PRESERVED, opened=40.0))
    late.ledger.take_up(before.known)
    late.ledger.part_with(before.known)
    assert late.outages == [("outage ended", 30.0)]
    early.ledger.take_up(before.known)
    early.ledger.record(result(Verdict.PRESERVED, opened=40.0))
    assert early.outages == [("outage ended", 30.0)]
