"""The pages: whole without scripts, true to the ledger, and harmless whatever strangers write."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from ipaddress import ip_network
from pathlib import Path

import pytest

from probe.evidence.health import Heard
from probe.model import (
    Change,
    EndpointName,
    Evidence,
    Failure,
    Networks,
    Outage,
    Phase,
    Service,
    Spoken,
    Surroundings,
    Verdict,
)
from probe.report.record import record_object
from probe.service.ledger import Ledger, Restored
from probe.service.web.site import Site
from probe.service.web.standing import Standing
from probe.service.web.status import alike_outages
from probe.service.web.status_page import status_page
from probe.settings import targets
from probe.verdict.cause import explained
from probe.verdict.judge import RULES, judge
from tests.builders import failed
from tests.service.web.serving import serving
from tests.service.web.stage import BEGAN, CAUSES, GOOD, HOUR, Memory, Scripted, session_of, settings_of, story

SMTP = EndpointName("vip", Service.SMTP, 25)


async def text_of(station: Scripted, path: str = "/") -> str:
    async with serving(station) as client:
        answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status == 200, answer.text
    return answer.text


def words(page: str) -> str:
    """What a person reads, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.replace("<wbr>", "")).split())


async def test_all_well_is_said_in_one_sentence(station: Scripted) -> None:
    story(station, (26, Verdict.PRESERVED))
    page = await text_of(station)
    assert "Every client arrives as itself." in words(page)
    assert "7 of 7 endpoints preserved, unchanged for 1 d 2 h" in words(page)
    assert "<title>all preserved – mailprobe</title>" in page
    assert not any(title in page for title in ("Outages now", "Wrong now"))


async def test_from_inside_the_cluster_nothing_is_said_of_clients(station: Scripted) -> None:
    story(station, (5, Verdict.PRESERVED))
    name = next(iter(station.ledger.accounts))
    made = session_of(name, station.clock())
    networks = Networks(nodes=(ip_network("192.168.1.10"),))
    judgement = explained(made.session, made.judgement, Surroundings(networks=networks))
    station.ledger.record(replace(made, judgement=judgement))
    page = words(await text_of(station))
    assert "The probe arrives as itself, but not by the clients' way in on 1 of 7 endpoints." in page
    assert "About the probe itself The probe runs at 192.168.1.10, a node of networks.nodes : kube-proxy takes" in page


async def test_an_outage_is_on_top_with_cause_hint_and_its_services_together(station: Scripted) -> None:
    story(station, (5, Verdict.PRESERVED), (0.5, Verdict.MASKED), only="vip")
    story(station, (5, Verdict.PRESERVED), only="haproxy")
    page = words(await text_of(station))
    assert "Mail works, but is masked by node on 4 of 7 endpoints." in page
    outage = page[page.index("Wrong now") : page.index("Paths and services")]
    assert "masked by node vip: smtp, submission, submissions, imaps for 30 min" in outage
    assert "Mail works here. The server saw 10.0.20.102, a cluster node's address, instead of" in outage
    assert outage.count("Cause:") == 1
    assert CAUSES[Verdict.MASKED] in outage
    assert "Next: Check the Service's externalTrafficPolicy" in outage


@pytest.mark.parametrize(
    ("other", "headline"),
    [
        (Verdict.UNVERIFIED, "Mail works, but is masked by node on 4 of 7 endpoints."),
        (Verdict.RATE_LIMITED, "Masked by node on 4 of 7 endpoints."),
        (Verdict.REFUSED, "Outage: masked by node and refused on 7 of 7 endpoints."),
    ],
)
async def test_mail_works_is_said_only_where_every_session_did(
    station: Scripted, other: Verdict, headline: str
) -> None:
    story(station, (0.2, Verdict.MASKED), only="vip")
    story(station, (0.2, other), only="haproxy")
    page = words(await text_of(station))
    assert headline in page
    assert page.count("Mail works here.") == 1
    assert ("Outages now" in page) is (other is Verdict.REFUSED)
    assert ("Not proven or in trouble" in page) is (other is not Verdict.REFUSED)


PATHS = 60


def many_paths(directory: Path) -> Scripted:
    endpoints = [{"service": "smtp"}]
    paths = [{"name": f"p{number}", "host": "10.0.20.202", "endpoints": endpoints} for number in range(PATHS)]
    return Scripted(settings_of(directory, json.dumps({"paths": paths, "web": {"listen": "127.0.0.1:0"}})))


async def test_many_paths_that_fail_alike_are_one_problem(tmp_path: Path) -> None:
    station = many_paths(tmp_path)
    story(station, (0.2, Verdict.SILENT_DROP))
    page = await text_of(station)
    assert page.count("<article") == 1
    assert "p10, p11 and 48 more: smtp for" in words(page)
    assert "Of p0: " in words(page)


async def test_while_the_page_of_many_endpoints_is_written_all_else_goes_on(tmp_path: Path) -> None:
    """Between the rows of any two endpoints, and their days: sessions are timed meanwhile."""
    station, turns = many_paths(tmp_path), 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await status_page(Site(station=station, standing=Standing(lambda: None), reload_seconds=1.0))
    turning.cancel()
    assert turns >= 2 * PATHS


def test_outages_that_began_together_and_alike_are_one(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)  # a session each 10 minutes
    kinds = [("vip", Verdict.REFUSED), ("haproxy", Verdict.REFUSED), ("vip", Verdict.MASKED)]
    outages = [
        replace(an_outage(verdict, began), endpoint=EndpointName(path, Service.SMTP, 25))
        for began in (0.0, 1_199.0, 1_201.0, 2_402.0, 9_000.0)
        for path, verdict in kinds
    ]
    groups = alike_outages(outages, settings)
    began = [[one.began for one in group] for group in groups]
    assert began == [[9_000.0]] * 3 + [[2_402.0]] * 3 + [[1_201.0, 1_199.0]] * 3 + [[0.0]] * 3
    assert [(group[0].endpoint.path, group[0].verdict) for group in groups] == kinds * 4


def an_outage(verdict: Verdict, began: float) -> Outage:
    return Outage(
        endpoint=SMTP,
        began=began,
        seen=began,
        first=f"{verdict} {began}",
        verdicts=(verdict,),
        session="s",
        explanation="",
        hint="",
    )


async def test_problems_that_differ_do_not_push_the_matrix_away(tmp_path: Path) -> None:
    station = many_paths(tmp_path)
    for name in station.ledger.accounts:
        found = session_of(name, station.clock(), Verdict.MASKED, cause=f"Something about {name.path}.")
        station.ledger.record(found)
    page = await text_of(station)
    assert page.count("<article") == PATHS
    open_ones, _, folded = page.partition('<details id="more-problems">')
    assert (open_ones.count("<article"), folded.count("<article")) == (6, PATHS - 6)
    assert "54 more, each with its cause and next step" in words(folded)
    assert folded.index("</details>") < folded.index('id="matrix"')


async def test_where_no_session_can_be_opened_nothing_is_said_to_be_well(station: Scripted) -> None:
    """Nor is the outage over that was there before; and who reads it learns whose fault it is."""
    story(station, (1, Verdict.PRESERVED), (0.5, Verdict.REFUSED))
    for name in station.ledger.accounts:
        one = session_of(name, station.clock() - 1.0)
        session = replace(one.session, connected=None, fault=failed(Phase.CONNECT, Failure.VANTAGE))
        station.ledger.record(replace(one, session=session, judgement=judge(session, Evidence(), Networks())))
    page = words(await text_of(station))
    assert "No session can be opened from here to 7 of 7 endpoints: how mail fares there is not known." in page
    assert "Nothing is known to be wrong" not in page
    doubts = page[page.index("Not proven or in trouble") : page.index("Paths and services")]
    assert "was refused" in doubts
    assert "This is about the vantage, not the server" in doubts
    assert "Outages now" not in page


async def test_no_session_yet_is_not_all_well(station: Scripted) -> None:
    station.waiting_for = ("loki:http://loki:3100",)
    page = words(await text_of(station))
    assert "No session has ended yet." in page
    assert "Still waiting for loki:http://loki:3100" in page
    assert "preserved, unchanged" not in page


async def test_unverified_is_neither_well_nor_an_outage(station: Scripted) -> None:
    story(station, (1, Verdict.UNVERIFIED))
    page = words(await text_of(station))
    assert "Nothing is known to be wrong, but 7 of 7 endpoints are not proven." in page
    assert "Outages now" not in page
    assert "Not proven or in trouble" in page


@pytest.mark.parametrize(("ago", "severity"), [(60.0, "critical"), (HOUR, "unknown")])
async def test_an_outage_that_an_earlier_process_saw_goes_on_or_was(
    station: Scripted, ago: float, severity: str
) -> None:
    lasting = Outage(
        endpoint=SMTP,
        began=BEGAN - 2 * HOUR,
        seen=BEGAN - ago,
        first="old",
        verdicts=(Verdict.REFUSED,),
        session="old",
        explanation="It was so.",
    )
    change = Change(endpoint=SMTP, at=lasting.began, seen=lasting.seen, verdict=Verdict.REFUSED, session="old")
    station.ledger = Ledger(targets(station.settings), Restored(changes=(change,), lasting=(lasting,)))
    page = words(await text_of(station))
    is_so = severity == "critical"
    assert ("Outage: refused on 1 of 7 endpoints." if is_so else "No session has ended yet.") in page
    assert f"{'✕ refused' if is_so else '? was refused'} vip: smtp for 2 h" in page
    assert ("Outages now" in page) is is_so
    assert "It was so." in page


async def test_that_all_is_well_is_never_told_by_what_was(station: Scripted) -> None:
    """Neither by an earlier process, however short ago, nor by this one for long."""
    names = [one.name for one in targets(station.settings)]
    known = [
        Change(endpoint=one, at=BEGAN - HOUR, seen=BEGAN - 1, verdict=Verdict.PRESERVED, session="old") for one in names
    ]
    station.ledger = Ledger(targets(station.settings), Restored(changes=tuple(known)))
    page = words(await text_of(station))
    assert "No session has ended yet." in page
    assert "The first sessions are under way; the last session began 1 s ago." in page
    assert page.count("was preserved last looked 1 s ago") == 7
    for name in names:
        station.ledger.record(session_of(name, station.clock()))
    assert "Every client arrives as itself." in words(await text_of(station))
    station.hands.now += HOUR
    page = words(await text_of(station))
    assert "Nothing is known to be wrong, but 7 of 7 endpoints are not proven." in page
    assert "Nothing is known of now; the last session began 1 h ago." in page
    assert "7 endpoints had no session for long" in page


async def test_what_was_found_of_another_host_is_what_was(station: Scripted) -> None:
    """Nor has its new host gone without a session for long, however long the daemon has run."""
    before = targets(station.settings)
    station.hands.now += HOUR
    for one in before:
        station.ledger.record(session_of(one.name, station.clock()))
    now = [replace(one, host="10.0.20.203") if one.path == "vip" else one for one in before]
    station.ledger.configure(now, station.clock())
    page = words(await text_of(station))
    assert page.count("was preserved last looked") == 4
    assert "Nothing is known to be wrong, but 4 of 7 endpoints are not proven." in page
    assert "had no session for long" not in page


async def test_a_time_in_which_nobody_looked_is_no_part_of_the_day(station: Scripted) -> None:
    """A daemon that ran for minutes of a day has seen minutes of it."""
    name = targets(station.settings)[0].name
    known = Change(endpoint=name, at=BEGAN - 20 * HOUR, seen=BEGAN - 19 * HOUR, verdict=Verdict.MASKED, session="old")
    station.ledger = Ledger(targets(station.settings)[:1], Restored(changes=(known,)))
    before = await text_of(station)
    assert "vip/smtp, last day: 0 % preserved of 1 h; masked 1 h in 1 stretch; nobody looked 19 h" in before
    station.hands.now += 60
    station.ledger.record(session_of(name, station.clock()))
    station.hands.now += HOUR / 6
    page = await text_of(station)
    assert "unchanged for 10 min" in words(page)
    assert "last day: 14.3 % preserved of 1 h 10 min; masked 1 h in 1 stretch; nobody looked 19 h 1 min" in page
    assert "<title>nobody looked for 19 h 1 min, until 10 min ago</title>" in page


async def test_every_cell_leads_to_a_session_that_is_shown(station: Scripted) -> None:
    story(station, (1, Verdict.PRESERVED), (0.5, Verdict.NO_GREETING))
    async with serving(station) as client:
        page = (await client.get("/")).text
        cells = re.findall(r'<a href="(/sessions/[^"]+)" class="cell critical">', page)
        assert len(cells) == 7
        for cell in cells:
            assert "no greeting" in words((await client.get(cell)).text)


async def test_a_session_is_told_with_all_that_led_to_its_verdict(station: Scripted) -> None:
    station.ledger.record(session_of(SMTP, BEGAN - 60, Verdict.MASKED, cause="The node masks."))
    page = words(await text_of(station, f"/sessions/vip-smtp-{BEGAN - 60:.0f}"))
    for told in (
        "masked by node vip smtp",
        "Cause: The node masks.",
        "Seen as 10.0.20.102",
        "greeting 18.4 ms",
        "220 mail.example.org ESMTP Postfix",
        "fingerprint",
        "seen-as-another , the ",
        f" of {len(RULES)}; the first that holds decides.",
    ):
        assert told in page, told


async def test_a_failed_session_tells_its_controls_and_signs(station: Scripted) -> None:
    station.ledger.record(session_of(SMTP, BEGAN - 60, Verdict.NO_GREETING))
    page = words(await text_of(station, f"/sessions/vip-smtp-{BEGAN - 60:.0f}"))
    assert "Second connections" in page
    assert "silent did not work" in page
    assert "throttled file:/var/log/mail.log" in page


async def test_a_session_of_long_ago_comes_out_of_the_history(station: Scripted) -> None:
    old = record_object(session_of(SMTP, BEGAN - 900 * HOUR))
    station.past = Memory(records=[old])
    assert "preserved vip smtp" in words(await text_of(station, f"/sessions/{old['id']}"))


@pytest.mark.parametrize(
    "record",
    [
        {"id": "odd"},
        {"id": "odd", "phases": "no list", "sightings": [7], "transcript": [["x"], [1, 2, 3], None], "client": 5},
        {"id": "odd", "severity": "dreadful", "opened": "yesterday", "rule": None, "phases": [{"seconds": "long"}]},
    ],
)
async def test_a_damaged_record_still_makes_a_page(station: Scripted, record: dict[str, object]) -> None:
    station.past = Memory(records=[record])
    assert "<h1>" in await text_of(station, "/sessions/odd")


async def test_what_is_not_kept_any_more_is_not_said_to_have_been_nothing(station: Scripted) -> None:
    whole = record_object(session_of(SMTP, BEGAN - 900 * HOUR))
    kept = {**whole, "rule": None, "client": None, "host": None, "address": None, "phases": [], "sightings": []}
    del kept["transcript"]
    station.past = Memory(records=[kept])
    page = words(await text_of(station, f"/sessions/{kept['id']}"))
    assert "preserved vip smtp" in page
    assert "That is not kept any more" in page
    for untrue in ("nothing was seen", "Nothing is certain", "Nothing was said", "None", "no socket"):
        assert untrue not in page


async def test_a_broken_history_takes_no_page_down(station: Scripted) -> None:
    story(station, (1, Verdict.PRESERVED))
    station.past = Memory(broken=True)
    async with serving(station) as client:
        assert (await client.get("/")).status == 200
        assert (await client.get("/sessions/nobody-knows")).status == 404
        listed = json.loads((await client.get("/api/v1/sessions")).text)
    assert listed["complete"] is False
    assert len(listed["sessions"]) > 0


async def test_sources_tell_state_and_lag(station: Scripted) -> None:
    now = station.clock()
    station.sources = (
        Heard(source="loki:http://loki:3100", up=True, lines=48_211, last_line_at=now - 2, late=(0.4, 0.5, 0.6)),
        Heard(source="file:/var/log/mail.log", up=False, reason="permission denied"),
    )
    page = words(await text_of(station))
    assert "loki:http://loki:3100 ✓ up 2 s ago 0.5 s 48,211" in page
    assert "file:/var/log/mail.log ✕ down permission denied none yet" in page
    assert "Counted since" not in page
    station.reloaded = now - 180
    assert "Counted since the configuration was read again 3 min ago." in words(await text_of(station))


async def test_troubles_and_a_refused_configuration_are_told(station: Scripted) -> None:
    station.troubles = ("The history cannot be written: disk full.",)
    station.reload = replace(station.reload, fault="mailprobe.yaml: 1 fault\n  line 3: found x, expected y")
    page = words(await text_of(station))
    assert "The history cannot be written: disk full." in page
    assert "line 3: found x, expected y" in page


async def test_a_verdict_that_nobody_renews_is_told_to_be_old(station: Scripted) -> None:
    station.ledger.record(session_of(SMTP, BEGAN))
    station.hands.now += HOUR
    page = words(await text_of(station))
    assert "last looked 1 h ago" in page
    assert "7 endpoints had no session for long" in page


async def test_times_follow_a_wall_clock_that_was_set(station: Scripted) -> None:
    station.ledger.record(session_of(SMTP, BEGAN - 60))
    station.hands.set_forward = HOUR
    async with serving(station) as client:
        listed = json.loads((await client.get("/api/v1/sessions")).text)
    assert listed["sessions"][0]["opened"] == "2026-11-25T10:45:40.000Z"


HOSTILE = "<script>alert(1)</script>\x1b[2J\u202egnol yrev\u2066<img src=x onerror=alert(2)>\"'\ud800\x00"


class Reader(HTMLParser):
    """What a browser would make of it: elements, and attributes that run something."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.running += [
            name
            for name, value in attrs
            if name.startswith("on") or name == "style" or (value or "").startswith("javascript:")
        ]


@pytest.mark.parametrize("path", ["/", "/sessions/hostile"])
async def test_what_strangers_write_stays_text(station: Scripted, path: str) -> None:
    made = session_of(
        SMTP,
        BEGAN - 60,
        Verdict.MASKED,
        line=HOSTILE,
        cause=HOSTILE,
        transcript=[*GOOD, Spoken(1.0, ours=False, text=HOSTILE)],
    )
    judgement = replace(made.judgement, explanation=HOSTILE, hint=HOSTILE, doubt=HOSTILE)
    station.ledger.record(replace(made, session=replace(made.session, id="hostile"), judgement=judgement))
    station.sources = (Heard(source=HOSTILE, up=False, reason=HOSTILE),)
    station.troubles = (HOSTILE,)
    page = await text_of(station, path)
    reader = Reader()
    reader.feed(page)
    assert reader.elements.count("script") == 1
    assert "img" not in reader.elements
    assert reader.running == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert r"\x1b[2J\u202egnol" in page


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
@pytest.mark.parametrize(
    "path", ["/nowhere", "/assets/../../app.py", "/assets/%2e%2e%2fapp.py", "/assets/page.css", "/%00", "//etc/passwd"]
)
async def test_what_is_not_there_says_what_is(station: Scripted, path: str, accept: str) -> None:
    async with serving(station) as client:
        raw = await client.raw(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode()
        )
    assert raw.startswith(b"HTTP/1.1 404 ")
    assert b"/api/v1/outages" in raw
    assert b"import" not in raw


async def test_pages_name_only_what_is_served_here(station: Scripted) -> None:
    story(station, (1, Verdict.PRESERVED))
    async with serving(station) as client:
        page = (await client.get("/")).text
        for target in re.findall(r'(?:src|href)="([^"#]+)"', page):
            assert target.startswith("/"), target
            answer = await client.get(target)
            assert answer.status == 200, target
            if target.startswith("/assets/"):
                assert "immutable" in answer.headers["Cache-Control"]


async def test_every_answer_has_its_headers_and_head_no_body(station: Scripted) -> None:
    async with serving(station) as client:
        for path in ("/", "/metrics", "/config", "/api/v1/sessions", "/-/healthy", "/nowhere"):
            answer, head = await client.get(path), await client.ask("HEAD", path)
            assert (head.status, head.text) == (answer.status, "")
            for name, value in (
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("X-Frame-Options", "DENY"),
                ("Server", "mailprobe"),
            ):
                assert answer.headers[name] == value
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none';")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


async def test_a_thousand_endpoints_fold_those_that_are_well(station: Scripted) -> None:
    first = targets(station.settings)[0]
    many = [replace(first, path=f"path-{number}") for number in range(60)]
    station.ledger = Ledger(many)
    for endpoint in many:
        station.ledger.record(session_of(endpoint.name, BEGAN - 60))
    station.ledger.record(session_of(many[7].name, BEGAN - 30, Verdict.REFUSED))
    page = words(await text_of(station))
    assert "59 endpoints more, preserved whenever looked at" in page
    assert "Outage: refused on 1 of 60 endpoints." in page
