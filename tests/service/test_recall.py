"""What was spent in the last minute is known to the next process, from a real history file."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import pytest

from probe.model import Control, ControlKind, Endpoint, ImprintKind, Mailbox, Outage, Service, Verdict
from probe.service.budget import BEATS, Budgets
from probe.service.clock import SteadyClock
from probe.service.history import History
from probe.service.ledger import Ledger
from probe.service.recall import recall
from probe.service.wanted import Wanted
from probe.settings.parts import HistorySettings
from tests.builders import result

IMAPS = Endpoint(path="vip", service=Service.IMAPS, host="10.0.20.202", port=993)
SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
MAILBOX = Mailbox(reader=IMAPS, recipient="probe@example.org", sender="")
KNOCK = Control(kind=ControlKind.CONNECT, worked=True, seconds=0.1)


async def written_down(file: Path, clock: SteadyClock, *sessions: Any) -> None:
    async with History(HistorySettings(file=file), clock) as history:
        ledger = Ledger([SMTP])
        ledger.listeners.append(history.take)
        for number, changes in enumerate(sessions):
            besides = {name: changes.pop(name) for name in ("given_up", "beats") if name in changes}
            ledger.record(replace(result(Verdict.SILENT_DROP, id=f"s{number}", **changes), **besides))


async def test_sessions_and_their_control_connections_of_the_last_minute_are_counted(tmp_path: Path) -> None:
    file, clock = tmp_path / "history.db", SteadyClock()
    at = [clock() - ago for ago in (90.0, 40.0, 10.0)]
    await written_down(file, clock, *({"opened": opened, "controls": (KNOCK,)} for opened in at))
    budgets, later = Budgets(6), SteadyClock()
    async with History(HistorySettings(file=file), later) as history:
        await recall(history, budgets, [SMTP], later)
    now = later()
    assert budgets.room_at(SMTP.name, {SMTP.name: 2}, now) == now
    assert budgets.room_at(SMTP.name, {SMTP.name: 3}, now) == pytest.approx(at[1] + 60, abs=0.1)


async def test_what_an_earlier_process_owed_is_not_forgotten_with_the_minute(tmp_path: Path) -> None:
    file, clock = tmp_path / "history.db", SteadyClock()
    opened = clock() - 61.0
    await written_down(file, clock, {"opened": opened, "controls": (KNOCK, KNOCK)})
    budgets = Budgets(1)
    async with History(HistorySettings(file=file), clock) as history:
        await recall(history, budgets, [SMTP], clock)
    assert budgets.room_at(SMTP.name, {SMTP.name: 3}, clock()) == pytest.approx(opened + 180, abs=0.1)


async def test_a_mailbox_that_was_read_back_is_counted(tmp_path: Path) -> None:
    file, clock = tmp_path / "history.db", SteadyClock()
    await written_down(file, clock, {"opened": clock() - 5})
    deliver = replace(SMTP, imprint=ImprintKind.DELIVER, mailbox=MAILBOX)
    budgets = Budgets(1)
    async with History(HistorySettings(file=file), clock) as history:
        await recall(history, budgets, [deliver, IMAPS], clock)
    assert not budgets.take(IMAPS.name, {IMAPS.name: 1}, clock())


async def test_what_was_opened_before_a_session_for_its_verdict_is_counted(tmp_path: Path) -> None:
    """Sessions that were given up, and beats."""
    file, clock = tmp_path / "history.db", SteadyClock()
    opened = clock() - 5
    await written_down(file, clock, {"opened": opened, "given_up": 2, "beats": 3 * BEATS})
    budgets = Budgets(4)
    async with History(HistorySettings(file=file), clock) as history:
        await recall(history, budgets, [SMTP], clock)
    now = clock()
    assert budgets.room_at(SMTP.name, {SMTP.name: 1}, now) == now
    assert budgets.room_at(SMTP.name, {SMTP.name: 2}, now) == pytest.approx(opened + 60, abs=0.1)
    assert budgets.beats_at(SMTP.name, now, BEATS) == now
    assert budgets.beats_at(SMTP.name, now, 2 * BEATS) == pytest.approx(opened + 60, abs=0.1)


class Garbled:
    dropped = 0

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    async def session(self, identity: str) -> None:
        return None

    async def sessions(self, wanted: Wanted, most: int) -> list[dict[str, Any]]:
        return [{"id": "s1", "opened": datetime.fromtimestamp(time.time(), UTC).isoformat(), **self._record}]

    async def outages(self, wanted: Wanted, most: int) -> list[Outage]:
        return []


NAMED = {"path": "vip", "service": "smtp", "port": 25}


@pytest.mark.parametrize(
    "record",
    [
        {"opened": "yesterday"},
        {"opened": 3},
        {},
        NAMED,
        {**NAMED, "controls": 3},
        {**NAMED, "controls": [], "opened_besides": {"beats": "many"}},
        {**NAMED, "controls": [], "opened_besides": []},
        {**NAMED, "controls": [], "opened_besides": {"connections": inf}},
    ],
    ids=str,
)
async def test_what_makes_no_sense_counts_nothing(record: dict[str, Any]) -> None:
    clock, budgets = SteadyClock(), Budgets(1)
    await recall(Garbled(record), budgets, [SMTP], clock)
    assert budgets.take(SMTP.name, {SMTP.name: 1}, clock())
