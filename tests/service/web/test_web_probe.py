"""`/probe`: only what is configured, in the time that the scraper has, and no word without a session."""

from __future__ import annotations

import asyncio
import gc

import pytest
from prometheus_client.parser import text_string_to_metric_families

from probe.model import EndpointName, Service, Spoken, Verdict
from probe.service.station import Asked
from probe.service.web.site import Site
from tests.service.metrics.test_metrics_exposition import read_openmetrics
from tests.service.web.serving import SOON, serving
from tests.service.web.stage import GOOD, Scripted, session_of

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def told(metrics: str) -> tuple[float, int]:
    """probe_success, and of how many endpoints."""
    families = {family.name: family.samples for family in text_string_to_metric_families(metrics)}
    return families["probe_success"][0].value, len(families["mailprobe_up"])


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("path=vip", ["vip/smtp", "vip/submission", "vip/submissions", "vip/imaps"]),
        ("path=vip&service=imaps", ["vip/imaps"]),
        ("target=10.0.20.202&module=smtp", ["vip/smtp"]),
        ("target=10.0.20.202:25&module=smtp", ["vip/smtp"]),
        ("target=10.0.20.202:993", ["vip/imaps"]),
        ("target=::ffff:10.0.20.202&module=smtp", ["vip/smtp"]),
        ("target=[::ffff:10.0.20.202]:25&module=smtp", ["vip/smtp"]),
        ("target=MAIL.example.org.:587&module=submission", ["haproxy/submission"]),
    ],
)
async def test_what_is_asked_for_is_probed(station: Scripted, query: str, asked: list[str]) -> None:
    async with serving(station) as client:
        answer = await client.get(f"/probe?{query}")
    assert (answer.status, [str(name) for name, _ in station.asked]) == (200, asked)
    assert told(answer.text) == (1, len(asked))
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("query", "status", "expected"),
    [
        ("", 400, "Expected path=NAME or target=HOST[:PORT], one of them; found neither."),
        ("path=vip&target=10.0.20.202", 400, "found both"),
        ("path=vip&module=smtp", 400, "module does not go with path"),
        ("target=10.0.20.202&service=smtp", 400, "service does not go with target"),
        ("path=vip&service=pop3", 400, "expected one of smtp, submission, submissions, imaps"),
        ("target=10.0.20.202&module=http_2xx", 400, "expected one of smtp, submission, submissions, imaps"),
        ("path=vip&debug=maybe", 400, "expected true or false"),
        ("target=smtp://10.0.20.202", 400, "expected HOST, HOST:PORT or [IPv6]:PORT"),
        ("target=10.0.20.202:0", 400, "expected HOST, HOST:PORT or [IPv6]:PORT"),
        ("target=10.0.20.202:99999", 400, "expected HOST, HOST:PORT or [IPv6]:PORT"),
        ("target=a@b", 403, "none of them"),
        ("path=elsewhere", 403, "there are: vip, haproxy."),
        ("path=haproxy&service=submissions", 403, "has no submissions, only smtp, submission, imaps."),
        ("target=169.254.169.254&module=smtp", 403, "this target is none of them."),
        ("target=10.0.20.202:2525&module=smtp", 403, "this target is none of them."),
        ("target=mail.example.org&module=submissions", 403, "this target is none of them."),
    ],
)
async def test_what_is_not_configured_is_not_probed(station: Scripted, query: str, status: int, expected: str) -> None:
    async with serving(station) as client:
        answer = await client.get(f"/probe?{query}")
    assert (answer.status, station.asked) == (status, [])
    assert expected in answer.text
    assert status == 400 or "10.0.20.202" not in answer.text


@pytest.mark.parametrize(
    ("given", "seconds"), [("10", 9.5), ("1", 0.8), ("0.5", 0.4), ("60", 59.5), ("3600", 273.0), (None, 273.0)]
)
async def test_the_scraper_s_time_is_kept_with_a_margin(station: Scripted, given: str | None, seconds: float) -> None:
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": given} if given else {}
    async with serving(station) as client:
        assert (await client.get("/probe?path=vip&service=smtp", headers=headers)).status == 200
    assert [limit for _, limit in station.asked] == [pytest.approx(seconds)]


@pytest.mark.parametrize("given", ["soon", "nan", "inf", "-1", "0"])
async def test_a_time_that_is_none_is_refused(station: Scripted, given: str) -> None:
    async with serving(station) as client:
        answer = await client.get("/probe?path=vip", headers={"X-Prometheus-Scrape-Timeout-Seconds": given})
    assert (answer.status, station.asked) == (400, [])
    assert "expected seconds, like 10 or 4.5" in answer.text


async def test_endpoints_of_a_path_are_asked_side_by_side(station: Scripted) -> None:
    """Each waits for the others to have begun: one after the other, it would never end."""
    together = asyncio.Barrier(4)

    async def answer(name: EndpointName, seconds: float) -> Asked:
        await together.wait()
        return Asked(result=session_of(name, station.clock()))

    station.answers = answer
    async with serving(station) as client, asyncio.timeout(10):
        assert told((await client.get("/probe?path=vip")).text) == (1, 4)


async def test_a_failed_session_is_an_answer(station: Scripted) -> None:
    async def answer(name: EndpointName, seconds: float) -> Asked:
        return Asked(result=session_of(name, station.clock(), Verdict.REFUSED))

    station.answers = answer
    async with serving(station) as client:
        answered = await client.get("/probe?path=vip&service=smtp")
    assert (answered.status, told(answered.text)) == (200, (0, 1))


async def test_without_a_session_there_is_no_answer(station: Scripted) -> None:
    """Not even that of the others on the path: a part would look like all of it."""

    async def answer(name: EndpointName, seconds: float) -> Asked:
        if name.service == "imaps":
            return Asked(refusal="the budget of 6 sessions a minute is used up", retry_after=7.2)
        return Asked(result=session_of(name, station.clock()))

    station.answers = answer
    async with serving(station) as client:
        answered = await client.get("/probe?path=vip")
    assert (answered.status, answered.headers["Retry-After"]) == (503, "8")
    assert "vip/imaps: the budget of 6 sessions a minute is used up" in answered.text
    assert "probe_success" not in answered.text


async def test_a_session_that_is_not_judged_in_time_is_an_answer(station: Scripted) -> None:
    """Of one that is still open there is no verdict, and the path has not worked."""
    asked = {
        "smtp": Asked(unfinished="time was up after 9.5 s, while the session was still open"),
        "imaps": Asked(
            result=session_of(EndpointName("vip", Service.IMAPS, 993), station.clock(), Verdict.UNVERIFIED),
            unfinished="time was up after 9.5 s, while its evidence was still looked for",
        ),
    }

    async def answer(name: EndpointName, seconds: float) -> Asked:
        return asked.get(name.service) or Asked(result=session_of(name, station.clock()))

    station.answers = answer
    async with serving(station) as client:
        whole, imaps = await client.get("/probe?path=vip"), await client.get("/probe?path=vip&service=imaps")
        smtp = await client.get("/probe?path=vip&service=smtp", headers={"Accept": OPENMETRICS})
        debug = await client.get("/probe?path=vip&debug=true")
    assert (whole.status, told(whole.text)) == (200, (0, 3))
    assert (imaps.status, told(imaps.text)) == (200, (1, 1))
    assert (smtp.status, "mailprobe_up" in smtp.text, "mailprobe_verdict" in smtp.text) == (200, False, False)
    read = {one.name: one.samples for one in read_openmetrics(smtp.text)}
    assert [one.value for one in (*read["probe_success"], *read["mailprobe_unfinished"])] == [0, 1]
    assert "vip/smtp: time was up after 9.5 s, while the session was still open; it goes on." in debug.text


async def test_a_page_of_metrics_that_is_being_written_holds_up_no_answer(station: Scripted) -> None:
    """A thousand endpoints take seconds, and a scrape has its timeout."""
    async with serving(station) as client:
        (site,) = (one for one in gc.get_objects() if isinstance(one, Site) and one.station is station)
        async with site.writing, asyncio.timeout(SOON):
            assert (await client.get("/probe?path=vip&service=smtp")).status == 200


async def test_a_station_that_never_answers_is_given_up_on(station: Scripted) -> None:
    async def answer(name: EndpointName, seconds: float) -> Asked:
        await asyncio.Event().wait()
        raise AssertionError

    station.answers = answer
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": "0.1"}
    async with serving(station) as client, asyncio.timeout(10):
        answered = await client.get("/probe?path=vip&service=smtp", headers=headers)
    assert answered.status == 503
    assert "no session ended within 0.1 s" in answered.text
    assert "Retry-After" not in answered.headers


async def test_debug_tells_people_how_it_came_about(station: Scripted) -> None:
    hostile = Spoken(0.5, ours=False, text="250 \x1b[31mred\u202e <b>")

    async def answer(name: EndpointName, seconds: float) -> Asked:
        return Asked(result=session_of(name, station.clock(), Verdict.MASKED, transcript=[*GOOD, hostile]), fresh=False)

    station.answers = answer
    async with serving(station) as client:
        answered = await client.get("/probe?path=vip&service=smtp&debug=true")
    assert answered.headers["Content-Type"].startswith("text/plain")
    for part in (
        "S: 220 mail.example.org ESMTP Postfix",
        "Rule: seen-as-another",
        "masked by node",
        "probe_success 1.0",
        "Not fresh",
    ):
        assert part in answered.text
    assert r"250 \x1b[31mred\u202e <b>" in answered.text
    assert "\x1b" not in answered.text
