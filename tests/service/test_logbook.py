"""One canonical line per session, its level the verdict's severity; what stays as it is says so now and then."""

from __future__ import annotations

from typing import Any

from probe.model import Endpoint, MaskedBy, Service, Verdict
from probe.service.ledger import Ledger
from probe.service.logbook import REPEAT, Logbook
from tests.builders import result

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.ledger = Ledger([SMTP])
        self.ledger.listeners.append(Logbook(self._tell).note)

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
    assert [(line["event"], line.get("seconds")) for line in log.lines if line["event"] != "session"] == [
        ("outage began", None),
        ("outage ended", 2.0),
    ]
    assert [line["verdict"] for line in log.lines if line["event"] == "session"] == ["refused", "preserved"]
