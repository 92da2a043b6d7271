"""The JSON API: filters, pages of a list, and what the ledger and the history know together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from probe.model import EndpointName, Outage, Service, Verdict
from probe.report.record import record_object
from tests.service.web.serving import Client, serving
from tests.service.web.stage import BEGAN, HOUR, Memory, Scripted, session_of, story

SMTP = EndpointName("vip", Service.SMTP, 25)


async def listed(client: Client, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    return json.loads(answer.text)


async def test_sessions_are_filtered(station: Scripted) -> None:
    story(station, (1, Verdict.PRESERVED), (0.5, Verdict.MASKED), only="vip")
    story(station, (1, Verdict.PRESERVED), only="haproxy")
    async with serving(station) as client:
        whole = await listed(client, "/api/v1/sessions?limit=500")
        masked = await listed(client, "/api/v1/sessions?path=vip&service=imaps&verdict=masked")
    assert (whole["schema"], whole["vantage"], whole["complete"], whole["next"]) == (1, "lan-probe", False, None)
    assert len(whole["sessions"]) == 7 * 6
    assert len(masked["sessions"]) == 3
    assert {(one["path"], one["service"], one["verdict"]) for one in masked["sessions"]} == {("vip", "imaps", "masked")}
    assert "transcript" not in masked["sessions"][0]


@pytest.mark.parametrize("limit", [1, 3, 7, 10])
async def test_a_list_goes_on_where_it_ended_and_leaves_nothing_out(station: Scripted, limit: int) -> None:
    """Sessions of the seven endpoints are opened in the same millisecond here."""
    story(station, (1, Verdict.PRESERVED))
    seen: list[str] = []
    async with serving(station) as client:
        following = f"/api/v1/sessions?limit={limit}"
        while following:
            part = await listed(client, following)
            seen += [one["id"] for one in part["sessions"]]
            following = part["next"]
    assert len(seen) == len(set(seen)) == 7 * 6


async def test_a_history_that_answers_is_the_one_place_to_read(station: Scripted) -> None:
    """By its own labels: the ledger's move with a clock that is set, and would tell a session at another time."""
    story(station, (1, Verdict.PRESERVED), only="vip/smtp")
    kept = [record_object(one) for account in station.ledger.accounts.values() for one in account.sessions()]
    old = record_object(session_of(SMTP, BEGAN - 40 * HOUR, Verdict.REFUSED))
    station.past = Memory(records=[*kept, old])
    station.hands.set_forward = HOUR
    async with serving(station) as client:
        whole = await listed(client, "/api/v1/sessions?path=vip&service=smtp")
        before = await listed(client, f"/api/v1/sessions?before={BEGAN - 2 * HOUR}")
    assert [one["id"] for one in whole["sessions"]] == [one["id"] for one in [*kept, old]]
    assert [one["opened"] for one in whole["sessions"]] == [one["opened"] for one in [*kept, old]]
    assert whole["complete"] is True
    assert [one["id"] for one in before["sessions"]] == [old["id"]]


@pytest.mark.parametrize("fault", ["broken", "dropped"])
async def test_a_history_that_fails_or_has_lost_sessions_is_not_complete(station: Scripted, fault: str) -> None:
    story(station, (1, Verdict.PRESERVED), (0.5, Verdict.MASKED), only="vip/smtp")
    station.past = Memory(broken=fault == "broken", dropped=1)
    async with serving(station) as client:
        sessions = await listed(client, "/api/v1/sessions")
        outages = await listed(client, "/api/v1/outages")
    assert sessions["complete"] is False
    assert len(sessions["sessions"]) == (6 if fault == "broken" else 0)
    assert outages["complete"] is (fault == "dropped")  # an outage outlasts its sessions
    assert len(outages["outages"]) == (1 if fault == "broken" else 0)


async def test_without_a_history_a_list_does_not_claim_to_be_complete(station: Scripted) -> None:
    async with serving(station) as client:
        assert (await listed(client, "/api/v1/sessions"))["complete"] is False
        assert (await listed(client, "/api/v1/outages"))["complete"] is False


async def test_one_session_is_whole(station: Scripted) -> None:
    station.ledger.record(session_of(SMTP, BEGAN - 60))
    async with serving(station) as client:
        answer = await listed(client, f"/api/v1/sessions/vip-smtp-{BEGAN - 60:.0f}")
    assert answer["session"]["transcript"][0] == [0.021, "server", "220 mail.example.org ESMTP Postfix"]


async def test_outages_of_now_and_long_ago_each_once(station: Scripted) -> None:
    story(
        station,
        (5, Verdict.PRESERVED),
        (3, Verdict.REFUSED),
        (2, Verdict.PRESERVED),
        (1, Verdict.MASKED),
        only="vip/smtp",
    )
    account = station.ledger.accounts[SMTP]
    long_ago = Outage(
        endpoint=SMTP,
        began=BEGAN - 500 * HOUR,
        seen=BEGAN - 499 * HOUR,
        ended=BEGAN - 498 * HOUR,
        first="x",
        verdicts=(Verdict.REFUSED,),
        session="x",
    )
    assert account.outage is not None
    station.past = Memory(over=[account.outage, *account.outages, long_ago])
    station.hands.set_forward = -HOUR
    async with serving(station) as client:
        whole = (await listed(client, "/api/v1/outages"))["outages"]
        masked = (await listed(client, "/api/v1/outages?verdict=masked"))["outages"]
        short = await listed(client, "/api/v1/outages?limit=1")
        rest = await listed(client, short["next"])
    assert [(one["verdict"], one["ended"] is None) for one in whole] == [
        ("masked", True),
        ("refused", False),
        ("refused", False),
    ]
    assert whole[1]["seconds"] == HOUR
    assert whole[1]["began"] == "2026-11-25T06:46:40.000Z"
    assert masked == whole[:1]
    assert [short["outages"][0]["began"], rest["outages"][0]["began"]] == [one["began"] for one in whole[:2]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", "expected a number from 1 to 500"),
        ("limit=501", "expected a number from 1 to 500"),
        ("limit=ten", "expected a number from 1 to 500"),
        ("limit=\u0661", "expected a number from 1 to 500"),
        ("service=pop3", "expected one of smtp, submission, submissions, imaps"),
        ("verdict=bad", "expected one of preserved, masked"),
        ("before=yesterday", "expected seconds since the epoch or a time like"),
        ("before=nan", "expected seconds since the epoch or a time like"),
        ("before=1e300", "expected seconds since the epoch or a time like"),
        ("path=vip&path=haproxy", "more than once"),
        ("path=", "path is empty"),
        ("sort=up", "Unknown parameter sort: expected path, service, verdict, limit, before, after."),
    ],
)
@pytest.mark.parametrize("kind", ["sessions", "outages"])
async def test_a_bad_parameter_is_told_what_was_expected(
    station: Scripted, kind: str, query: str, expected: str
) -> None:
    async with serving(station) as client:
        answer = await client.get(f"/api/v1/{kind}?{query}")
    assert answer.status == 400
    assert expected in json.loads(answer.text)["error"]


@pytest.mark.parametrize("kind", ["sessions", "outages"])
async def test_a_list_that_is_to_go_on_after_what_is_not_kept_is_told_as_no_end(station: Scripted, kind: str) -> None:
    station.past = Memory()
    async with serving(station) as client:
        lost = await client.get(f"/api/v1/{kind}?after=pruned")
        station.past.broken = True
        unknown = await listed(client, f"/api/v1/{kind}?after=pruned")
    assert (lost.status, "not any more" in lost.text) == (404, True)
    assert (unknown[kind], unknown["complete"]) == ([], False)


async def test_a_time_may_be_written_as_people_do(station: Scripted) -> None:
    station.ledger.record(session_of(SMTP, BEGAN))  # 2026-11-25T09:46:40Z
    async with serving(station) as client:
        for before, found in (
            ("2026-11-25T09:46:41Z", 1),
            ("2026-11-25T09:46:40Z", 0),
            ("2026-11-25T10:46:41%2B01:00", 1),
            ("2026-11-25T10:46:41+01:00", 1),
            (f"{BEGAN + 1}", 1),
        ):
            assert len((await listed(client, f"/api/v1/sessions?before={before}"))["sessions"]) == found, before


async def test_a_path_that_is_not_configured_is_named_as_such(station: Scripted) -> None:
    station.past = Memory()
    async with serving(station) as client:
        answers = [await client.get(f"/api/v1/{kind}?path=elsewhere") for kind in ("sessions", "outages")]
    for answer in answers:
        assert answer.status == 404
        assert "nothing of this kind is kept of one: configured are vip, haproxy" in answer.text


async def test_a_path_that_left_the_configuration_is_told_of_while_something_is_kept(station: Scripted) -> None:
    gone = record_object(session_of(EndpointName("old", Service.SMTP, 25), BEGAN - HOUR, Verdict.REFUSED))
    station.past = Memory(records=[gone])
    async with serving(station) as client:
        told = await listed(client, "/api/v1/sessions?path=old")
        station.past = Memory(broken=True)
        unknown = await listed(client, "/api/v1/sessions?path=old")
    assert [one["id"] for one in told["sessions"]] == [gone["id"]]
    assert (unknown["sessions"], unknown["complete"]) == ([], False)  # who does not know does not say there is none
