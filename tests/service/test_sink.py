"""The sink pushes every change and outage once and in order, whatever Loki says meanwhile, and never what is secret."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from probe.evidence.loki_push import Pushed, body_of
from probe.evidence.sources.loki_http import Bounds
from probe.model import Endpoint, Expanded, MaskedBy, Service, Verdict
from probe.report.json import timestamp
from probe.service.clock import Ahead, SteadyClock
from probe.service.ledger import Ledger, Restored
from probe.service.sink import AT_ONCE, MOST, Patience, Sink
from probe.service.telling import RETOLD, Telling
from probe.settings import LokiSink
from probe.settings.loki import MOST_LABELS
from tests.builders import result, unable
from tests.evidence.sources.loki_reading import serving
from tests.evidence.sources.scripted_loki import Answer, ScriptedLoki
from tests.service.history.keeping import Said

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
BRISK = Patience(gather=0.01, again=0.02, longest=0.05, close=2.0, bounds=Bounds(connect=1.0, answer=0.5))
SECRET = "hunter2-in-a-file"


@dataclass
class Desk:
    sink: Sink
    ledger: Ledger
    said: Said
    clock: SteadyClock
    number: int = 0

    def session(self, verdict: Verdict, **changes: Any) -> None:
        self.number += 1
        opened = self.clock()
        self.ledger.record(result(verdict, **{"opened": opened, "id": f"s{self.number}", **changes}))

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():  # noqa: ASYNC110 - what the other side does sets no event here
                await asyncio.sleep(0.002)


@asynccontextmanager
async def pushing(
    url: str, *, patience: Patience = BRISK, known: Restored | None = None, **more: Any
) -> AsyncIterator[Desk]:
    settings = LokiSink.model_validate({"kind": "loki", "url": url, **more})
    clock, said = SteadyClock(time.monotonic, time.time), Said()
    sink = Sink(settings, "lan-probe", clock, warn=said, patience=patience)
    sink.go_on(known or Restored())
    async with sink:
        ledger = Ledger([SMTP], known)
        ledger.listeners.append(sink.take)
        ledger.farewells.append(lambda outage: sink.part(outage, ledger.accounts.get(outage.endpoint)))
        yield Desk(sink, ledger, said, clock)


def held(loki: ScriptedLoki) -> list[tuple[int, dict[str, str], dict[str, Any]]]:
    """What Loki holds: stamp, labels, line."""
    lines = [(at, dict(labels), json.loads(line)) for labels, lines in loki.streams.items() for at, line in lines]
    return sorted(lines, key=lambda one: one[0])


def answers(status: int, body: str = "", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, headers=named)

    return answer


async def never_answers(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def breaks_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_changes_and_outages_become_lines_with_few_labels() -> None:
    async with serving() as loki, pushing(loki.url, labels={"cluster": "home"}) as desk:
        now = time.time()
        for verdict in (
            Verdict.PRESERVED,
            Verdict.PRESERVED,
            Verdict.MASKED,
            Verdict.SILENT_DROP,
            Verdict.RATE_LIMITED,
        ):
            masked_by = MaskedBy.NODE if verdict is Verdict.MASKED else None
            desk.session(verdict, masked_by=masked_by)
        await desk.until(lambda: desk.sink.pushed == 6)
        lines = held(loki)
    assert [(line["event"], line["verdict"], line["severity"]) for _, _, line in lines] == [
        ("verdict", "preserved", "ok"),
        ("verdict", "masked", "critical"),
        ("outage_began", "masked", "critical"),
        ("verdict", "silent_drop", "critical"),
        ("verdict", "rate_limited", "warning"),
        ("outage_ended", "masked", "warning"),
    ]
    for at, labels, line in lines:
        assert labels == {
            "job": "mailprobe",
            "cluster": "home",
            "vantage": "lan-probe",
            "path": "vip",
            "service": "smtp",
            "severity": line["severity"],
        }
        assert abs(at / 1e9 - now) < 5
        assert (line["vantage"], line["path"], line["service"], line["port"]) == ("lan-probe", "vip", "smtp", 25)
    assert lines[1][2]["masked_by"] == "node"
    ended = lines[-1][2]
    assert (ended["verdicts"], ended["session"]) == (["masked", "silent_drop"], "s4")
    assert ended["ended"] is not None
    assert ended["seconds"] >= 0
    assert desk.said.events == []
    assert len(loki.pushes) <= 2


def test_a_session_that_could_not_be_opened_is_told_and_ends_no_outage() -> None:
    """Whoever reads the sink is told of one outage, and after lost lines of the one that lasts."""
    telling, ledger, lines = Telling("lan-probe"), Ledger([SMTP]), list[dict[str, object]]()
    ledger.listeners.append(lambda entry: lines.extend(line for _, line in telling.of(entry, lambda _: 0.0)))
    ledger.record(result(Verdict.REFUSED, opened=100.0))
    ledger.record(unable(130.0))
    telling.lost([SMTP.name])
    ledger.record(unable(160.0))
    ledger.record(result(Verdict.REFUSED, opened=190.0))
    ledger.record(result(Verdict.PRESERVED, opened=220.0))
    assert [(line["event"], line["verdict"]) for line in lines] == [
        ("verdict", "refused"),
        ("outage_began", "refused"),
        ("verdict", "unverified"),
        ("standing", "unverified"),
        ("verdict", "refused"),
        ("verdict", "preserved"),
        ("outage_ended", "refused"),
    ]
    assert lines[3]["outage_began"] == lines[1]["began"] == lines[-1]["began"]


@pytest.mark.parametrize(
    "answer",
    [
        answers(429, "ingestion rate limit exceeded", Retry_After="0"),
        answers(500, "empty ring"),
        answers(503, "not ready"),
        answers(408),
        answers(302, Location="https://login.example.org/?next=x"),
        never_answers,
        breaks_off,
    ],
    ids=["429", "500", "503", "408", "302", "silent", "broken off"],
)
async def test_what_passes_is_sent_again_in_order_and_said_once(answer: Answer) -> None:
    async with serving() as loki, pushing(loki.url) as desk:
        loki.push_script.extend([answer] * 3)
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.trouble is not None)
        assert loki.url in str(desk.sink.trouble)
        desk.session(Verdict.REFUSED)
        await desk.until(lambda: desk.sink.pushed == 3)
        assert [line["event"] for _, _, line in held(loki)] == ["verdict", "verdict", "outage_began"]
        assert desk.sink.trouble is None
        assert desk.sink.dropped == 0
        assert [event for event, _ in desk.said.events] == [
            "sink: verdicts are not pushed",
            "sink: verdicts are pushed again",
        ]


async def test_retry_after_is_honoured() -> None:
    async with serving() as loki, pushing(loki.url) as desk:
        loki.push_script.append(answers(429, "slow down", Retry_After="1"))
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: len(loki.pushes) == 1)
        began = time.monotonic()
        await desk.until(lambda: len(loki.pushes) == 2)
        assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_refused_for_good_is_said_in_loki_s_words_and_dropped(status: int) -> None:
    said = "entry with timestamp 2020-01-01 ignored, reason: 'entry too far behind'"
    async with serving() as loki, pushing(loki.url) as desk:
        loki.push_script.extend([answers(status, said)] * 2)
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.dropped == 1)
        desk.session(Verdict.REFUSED)
        await desk.until(lambda: desk.sink.dropped == 3)
        assert len(desk.said.reasons) == 1
        assert said in desk.said.reasons[0]
        assert str(desk.sink.trouble).endswith("; 3 lines are lost so far")
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.pushed == 2)
        assert ("sink: verdicts are pushed again", {"lost": 3}) in desk.said.events
        assert desk.sink.trouble is None


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_who_may_not_write_yet_loses_nothing(status: int) -> None:
    """A token that has expired at night is renewed in the morning."""
    async with serving() as loki, pushing(loki.url) as desk:
        loki.push_script.extend([answers(status, "not you")] * 3)
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.pushed == 1)
        assert len(desk.said.reasons) == 1
        assert f"HTTP {status}" in desk.said.reasons[0]
        assert desk.sink.dropped == 0
        assert desk.sink.trouble is None


async def test_a_login_page_takes_nothing() -> None:
    async with serving() as loki, pushing(loki.url) as desk:
        loki.push_script.append(answers(200, "<html>Please log in</html>", Content_Type="text/html"))
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.pushed == 1)
        assert "a web page" in desk.said.reasons[0]
        assert len(held(loki)) == 1


async def test_as_many_labels_as_may_be_given_are_taken() -> None:
    async with serving() as loki, pushing(loki.url, labels={f"label{n}": "x" for n in range(MOST_LABELS)}) as desk:
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.pushed == 1)
        ((_, labels, _),) = held(loki)
        assert len(labels) == 15


async def test_a_loki_that_is_down_costs_lines_over_the_bound_and_no_more() -> None:
    async with serving() as loki:
        port, url = loki.port, loki.url
        await loki.kill()
        async with pushing(url) as desk:
            for number in range(MOST + 50):
                desk.session((Verdict.RATE_LIMITED, Verdict.SERVICE_ERROR)[number % 2], opened=desk.clock())
            assert desk.sink.dropped == 50
            await desk.until(lambda: desk.sink.trouble is not None)
            assert str(desk.sink.trouble).endswith("; 50 lines are lost so far")
            assert "cannot be reached" in str(desk.sink.trouble)
            await loki.serve(port)
            await desk.until(lambda: desk.sink.pushed == MOST)
            assert [line["session"] for _, _, line in held(loki)] == [f"s{n}" for n in range(51, MOST + 51)]
            assert len(loki.pushes) == MOST / AT_ONCE


async def test_what_waits_at_the_end_is_sent_at_the_end() -> None:
    async with serving() as loki:
        async with pushing(loki.url, patience=replace(BRISK, gather=60.0)) as desk:
            for number in range(AT_ONCE + 1):
                desk.session((Verdict.RATE_LIMITED, Verdict.SERVICE_ERROR)[number % 2])
        assert desk.sink.pushed == AT_ONCE + 1


async def test_what_is_not_taken_before_the_end_is_lost_and_said() -> None:
    async with serving() as loki, pushing(loki.url, patience=replace(BRISK, close=0.05)) as desk:
        loki.push_script.extend([never_answers] * 10)
        desk.session(Verdict.REFUSED)
        await desk.sink.__aexit__(None, None, None)
        assert [fields for event, fields in desk.said.events if "lines are lost" in event] == [{"lines": 2}]


async def test_what_stands_is_told_again_when_a_process_begins() -> None:
    """Loki was down as the verdict changed, and then the daemon was restarted."""
    masked: dict[str, Any] = {"masked_by": MaskedBy.NODE}
    async with serving() as loki:
        async with pushing(loki.url) as desk:
            desk.session(Verdict.PRESERVED)
            await desk.until(lambda: desk.sink.pushed == 1)
            loki.push_script.extend([answers(503)] * 1000)
            desk.session(Verdict.MASKED, **masked)
            desk.session(Verdict.MASKED, **masked)
            known = desk.ledger.known
        loki.push_script.clear()
        async with pushing(loki.url, known=known) as desk:
            desk.session(Verdict.MASKED, **masked)
            desk.session(Verdict.MASKED, **masked)
            await desk.until(lambda: desk.sink.pushed == 1)
            (line,) = [line for _, _, line in held(loki) if line["event"] == "standing"]
            change, outage = known.changes[0], known.lasting[0]
            assert (line["verdict"], line["severity"], line["masked_by"]) == ("masked", "critical", "node")
            assert (line["since"], line["outage_began"]) == (timestamp(change.at), timestamp(outage.began))
            assert line["session"] == "s1"
            desk.session(Verdict.PRESERVED)
            await desk.until(lambda: desk.sink.pushed == 3)
        assert [line["event"] for _, _, line in held(loki)][-3:] == ["standing", "verdict", "outage_ended"]


async def test_what_stands_is_told_again_after_lines_were_lost() -> None:
    async with serving() as loki, pushing(loki.url) as desk:
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.pushed == 1)
        loki.push_script.append(answers(400, "too far behind"))
        desk.session(Verdict.REFUSED)
        await desk.until(lambda: desk.sink.dropped == 2)
        for _ in range(4):
            desk.session(Verdict.SILENT_DROP)
        await desk.until(lambda: desk.sink.pushed == 3)
        lines = [line for _, _, line in held(loki)]
        assert [(line["event"], line["verdict"]) for line in lines] == [
            ("verdict", "preserved"),
            ("verdict", "silent_drop"),
            ("standing", "silent_drop"),
        ]
        assert lines[-1]["outage_began"] == timestamp(desk.ledger.known.lasting[0].began)


async def test_what_stands_is_told_again_though_nothing_else_is_to_be_told() -> None:
    """Lines were lost for good, and all goes on as it was: no line would find that Loki takes lines again."""
    async with serving() as loki, pushing(loki.url) as desk:
        loki.push_script.append(answers(400, "too far behind"))
        desk.session(Verdict.REFUSED)
        await desk.until(lambda: desk.sink.dropped == 2)
        desk.session(Verdict.REFUSED)
        await desk.until(lambda: desk.sink.pushed == 1)
        assert [(line["event"], line["verdict"]) for _, _, line in held(loki)] == [("standing", "refused")]
        assert desk.sink.trouble is None


async def test_a_loki_that_loses_an_endpoint_s_lines_for_good_is_not_told_them_all_the_time() -> None:
    telling, now = Telling("lan-probe"), 1_000_000.0
    ledger, told = Ledger([SMTP]), list[str]()
    ledger.listeners.append(lambda entry: told.extend(str(line["event"]) for _, line in telling.of(entry, Ahead(0.0))))
    for number in range(100):
        ledger.record(result(Verdict.PRESERVED, opened=now + 30.0 * number))
        telling.lost([SMTP.name])
    assert told == ["verdict", *["standing"] * (99 * 30 // int(RETOLD) + 1)]


async def test_what_was_lost_just_after_it_was_told_is_told_again_some_time() -> None:
    before, now = Ledger([SMTP]), 1_000_000.0
    before.record(result(Verdict.REFUSED, opened=now - 30.0))
    telling = Telling("lan-probe", before.known)
    ledger, told = Ledger([SMTP], before.known), list[float]()
    ledger.listeners.append(lambda entry: told.extend(at - now for at, _ in telling.of(entry, Ahead(0.0))))
    for number in range(100):
        ledger.record(result(Verdict.REFUSED, opened=now + 30.0 * number))
        telling.lost([SMTP.name] if number == 1 else [])
    assert told == [0.0, RETOLD]


def test_the_end_of_an_outage_that_is_found_late_has_the_severity_that_followed_it() -> None:
    before, ledger, telling = Ledger([SMTP]), Ledger([SMTP]), Telling("lan-probe")
    before.record(result(Verdict.REFUSED, opened=70.0))
    for verdict, opened in ((Verdict.PRESERVED, 100.0), (Verdict.REFUSED, 130.0)):
        ledger.record(result(verdict, opened=opened))
    told = list[dict[str, object]]()
    ledger.farewells.append(lambda outage: told.append(telling.part(outage, ledger.accounts[SMTP.name], Ahead(0.0))[1]))
    ledger.take_up(before.known)
    ledger.part_with(before.known)
    assert [(line["event"], line["seconds"], line["severity"]) for line in told] == [("outage_ended", 30.0, "ok")]


async def test_an_outage_whose_endpoint_leaves_the_configuration_ends() -> None:
    async with serving() as loki, pushing(loki.url) as desk:
        desk.session(Verdict.REFUSED)
        desk.session(Verdict.REFUSED)
        seen = desk.ledger.known.lasting[0].seen
        desk.ledger.configure([])
        desk.ledger.configure([])
        await desk.until(lambda: desk.sink.pushed == 3)
        line = held(loki)[-1][2]
        assert (line["event"], line["path"], line["host"]) == ("outage_ended", "vip", SMTP.host)
        assert line["ended"] == line["seen"] == timestamp(seen)
        assert str(line["explanation"]).startswith("the endpoint left the configuration")


async def test_an_outage_of_an_endpoint_that_is_configured_differently_ends() -> None:
    async with serving() as loki, pushing(loki.url) as desk:
        desk.session(Verdict.REFUSED)
        desk.ledger.configure([replace(SMTP, host="10.0.20.203")], now=desk.clock())
        desk.session(Verdict.REFUSED, host="10.0.20.203")
        await desk.until(lambda: desk.sink.pushed == 5)
        lines = [line for _, _, line in held(loki)]
        told = [("verdict", 202), ("outage_began", 202), ("outage_ended", 202), ("verdict", 203), ("outage_began", 203)]
        assert sorted((line["event"], int(line["host"][-3:])) for line in lines) == sorted(told)
        ended = next(line for line in lines if line["event"] == "outage_ended")
        assert str(ended["explanation"]).startswith("the endpoint was configured differently")


async def test_an_outage_of_an_earlier_process_whose_endpoint_is_gone_ends() -> None:
    async with serving() as loki:
        async with pushing(loki.url) as desk:
            desk.session(Verdict.REFUSED)
            known = desk.ledger.known
        async with pushing(loki.url, known=known) as desk:
            desk.ledger.configure([])
            await desk.until(lambda: desk.sink.pushed == 1)
        assert [line["event"] for _, _, line in held(loki)][-1] == "outage_ended"


@pytest.mark.parametrize("answer", [never_answers, answers(503)], ids=["silent", "not ready"])
async def test_a_loki_in_trouble_holds_up_no_end(answer: Answer) -> None:
    async with serving() as loki:
        loki.push_script.extend([answer] * 1000)
        patience = replace(BRISK, close=0.2, bounds=Bounds(connect=1.0, answer=60.0))
        async with pushing(loki.url, patience=patience) as desk:
            desk.session(Verdict.PRESERVED)
            await desk.until(lambda: len(loki.pushes) > 0)
            began = time.monotonic()
        assert time.monotonic() - began < 2.0


async def test_it_says_who_it_is_and_tells_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    async with serving() as loki:
        loki.tenant, loki.authorization = "mail", "Basic cHJvYmU6aHVudGVyMi1pbi1hLWZpbGU="
        more: dict[str, Any] = {"tenant": "mail", "username": "probe", "password_file": str(file)}
        async with pushing(loki.url, **more) as desk:
            desk.session(Verdict.PRESERVED)
            await desk.until(lambda: desk.sink.pushed == 1)
            loki.authorization = "Basic another"
            desk.session(Verdict.REFUSED)
            await desk.until(lambda: desk.sink.trouble is not None)
            told = f"{desk.said.events} {desk.sink.trouble} {vars(desk.sink)}"
    assert SECRET not in told
    assert "HTTP 401 (Unauthorized): the credentials are refused" in told
    assert all(SECRET.encode() not in body for body in loki.pushes)


async def test_a_token_is_read_anew_and_waited_for(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with serving() as loki, pushing(loki.url, bearer_token_file=str(token)) as desk:
        loki.authorization = f"Bearer {SECRET}"
        desk.session(Verdict.PRESERVED)
        await desk.until(lambda: desk.sink.trouble is not None)
        assert f"bearer_token_file {token} holds no token" in str(desk.sink.trouble)
        token.write_text(SECRET)
        await desk.until(lambda: desk.sink.pushed == 1)


def test_the_secret_is_not_in_the_settings_as_told() -> None:
    more = {"username": "probe", "password": Expanded(SECRET, "${PASSWORD}")}
    settings = LokiSink.model_validate({"kind": "loki", "url": "http://loki:3100", **more})
    assert SECRET not in f"{settings!r} {settings.model_dump_json()}"


def test_lines_of_a_stream_stay_together_and_in_order() -> None:
    first, second = {"path": "vip"}, {"path": "node1"}
    batch = [Pushed(at=1.5, labels=first, line="a"), Pushed(at=2.0, labels=second, line="b")]
    body = json.loads(body_of([*batch, Pushed(at=1.5, labels=first, line="c")]))
    assert body == {
        "streams": [
            {"stream": first, "values": [["1500000000", "a"], ["1500000000", "c"]]},
            {"stream": second, "values": [["2000000000", "b"]]},
        ]
    }
