"""For programs: metrics, configuration, life signs, reload; and no secret in any of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from probe.model import EndpointName, Service, Spoken, Verdict
from probe.service.web.connection import Patience
from probe.settings import load
from tests.service.web.serving import serving
from tests.service.web.stage import GOOD, SECRETS, Scripted, session_of, story

EVERYWHERE = (
    "/",
    "/metrics",
    "/probe?path=vip",
    "/probe?path=vip&debug=true",
    "/probe?path=nowhere",
    "/probe?target=nowhere",
    "/api/v1/sessions",
    "/api/v1/sessions?path=nowhere",
    "/api/v1/outages",
    "/api/v1/outages?limit=x",
    "/config",
    "/-/healthy",
    "/-/ready",
    "/nowhere",
)


async def test_metrics_come_in_the_form_that_is_asked_for(station: Scripted) -> None:
    async with serving(station) as client:
        plain = await client.get("/metrics")
        openmetrics = await client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
        unpacked = await client.get("/metrics", headers={"Accept-Encoding": "identity"})
        page = await client.get("/", headers={"Accept-Encoding": "br, GZIP;q=0.001"})
        refusing = [
            await client.get(path, headers={"Accept-Encoding": "GZip; q=0.0, identity"}) for path in ("/", "/metrics")
        ]
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert plain.headers["Content-Encoding"] == "gzip"
    assert page.headers["Content-Encoding"] == "gzip"
    assert all("Content-Encoding" not in one.headers for one in (unpacked, *refusing))
    assert plain.text == unpacked.text
    assert 'mailprobe_verdict{path="vip",service="smtp",vantage="lan-probe",verdict="masked"}' in plain.text
    assert openmetrics.text.endswith("# EOF\n")


async def test_the_configuration_is_shown_without_its_secrets(station: Scripted, tmp_path: Path) -> None:
    async with serving(station) as client:
        answer = await client.get("/config")
    shown = yaml.safe_load(answer.text)
    assert shown["paths"][0]["endpoints"][1]["login"]["password"] == "****"
    assert shown["evidence"]["sources"][0]["tenant"] == "${TENANT}"
    assert (shown["schedule"]["interval"], shown["schedule"]["jitter"]) == ("10m", "10%")
    shown["paths"][0]["endpoints"][1]["login"]["password"] = "${PASSWORD}"
    shown["evidence"]["sources"][0]["password"] = "${LOKI}"
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(shown), encoding="utf-8")
    loaded = load(again, environment=SECRETS, hostname="here")
    assert loaded.with_warnings(()) == station.settings.with_warnings(())  # whose lines are other ones


async def test_no_secret_is_told_anywhere(station: Scripted) -> None:
    story(station, (1, Verdict.PRESERVED), (0.5, Verdict.MASKED))
    async with serving(station) as client:
        pages = [*EVERYWHERE, f"/sessions/{next(iter(station.ledger.accounts.values())).changes[0].session}"]
        for path in pages:
            for accept in ("text/html", "*/*", "application/json"):
                answer = await client.get(path, headers={"Accept": accept})
                told = answer.text + str(answer.headers)
                assert not [secret for secret in SECRETS.values() if secret in told], path


async def test_a_fault_of_ours_tells_the_client_nothing(station: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(name: EndpointName, seconds: float) -> None:
        raise RuntimeError(station.settings.paths[0].endpoints[1].login)

    station.answers = broken  # type: ignore[assignment]
    async with serving(station) as client:
        answer = await client.get("/probe?path=vip")
        alive = await client.get("/-/healthy")
    assert (answer.status, answer.text) == (500, "The daemon failed on this request; its log says where.\n")
    assert alive.status == 200
    told = capsys.readouterr()
    assert not [secret for secret in SECRETS.values() if secret in told.out + told.err]


async def test_life_signs(station: Scripted) -> None:
    async with serving(station) as client:
        assert (await client.get("/-/healthy")).status == 200
        assert (await client.get("/-/ready")).text == "mailprobe is ready.\n"
        station.waiting_for = ("loki:http://loki:3100 (connection refused)",)
        waiting = await client.get("/-/ready")
    assert waiting.status == 503
    assert "- loki:http://loki:3100 (connection refused)" in waiting.text


async def test_reload_by_post_alone(station: Scripted) -> None:
    async with serving(station) as client:
        got = await client.get("/-/reload")
        assert (got.status, got.headers["Allow"], station.reloads) == (405, "POST", 0)
        done = await client.ask("POST", "/-/reload")
        assert (done.status, station.reloads) == (200, 1)
        station.fault = "mailprobe.yaml: 1 fault\n  line 3, paths: found nothing, expected a list"
        refused = await client.ask("POST", "/-/reload")
    assert refused.status == 500
    assert "the old one goes on" in refused.text
    assert "line 3, paths: found nothing, expected a list" in refused.text


async def test_who_asks_for_a_reload_that_waits_hears_that_it_is_under_way(station: Scripted) -> None:
    station.reads.clear()
    async with serving(station, patience=Patience(reload=0.05)) as client:
        waits = await client.ask("POST", "/-/reload")
    assert (waits.status, station.reloads) == (202, 1)
    assert "under way" in waits.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_another_site_cannot_post(station: Scripted, headers: dict[str, str], status: int) -> None:
    async with serving(station) as client:
        answer = await client.ask("POST", "/-/reload", headers=headers)
    assert (answer.status, station.reloads) == (status, int(status == 200))


@pytest.mark.parametrize(("mode", "status"), [("navigate", 200), ("no-cors", 403), ("cors", 403)])
async def test_another_site_may_link_and_nothing_else(station: Scripted, mode: str, status: int) -> None:
    async with serving(station) as client:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
        assert (await client.get("/probe?path=vip", headers=headers)).status == status
    assert bool(station.asked) is (status == 200)


async def test_a_secret_in_a_transcript_was_masked_before_it_came_here(station: Scripted) -> None:
    """Pages show what the session kept; this holds the way in which it masks."""
    name = EndpointName("vip", Service.SUBMISSION, 587)
    kept = session_of(name, station.clock(), transcript=[*GOOD, Spoken(0.03, ours=True, text="AUTH PLAIN ****")])
    station.ledger.record(replace(kept, session=replace(kept.session, id="masked")))
    async with serving(station) as client:
        assert "AUTH PLAIN ****" in (await client.get("/sessions/masked")).text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9797", 200),
        ("localhost:8080", 200),
        ("[::1]", 200),
        ("10.0.20.202", 200),
        ("evil.example", 403),
        ("evil.example:9797", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[", 403),
    ],
)
async def test_no_site_can_lend_its_name_to_loopback(station: Scripted, host: str, status: int) -> None:
    """DNS rebinding: to a browser the pages of evil.example and ours are then one site."""
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with serving(station) as client:
        assert (await client.ask("POST", "/-/reload", headers=headers)).status == status
        assert (await client.get("/", headers=headers)).status == status
    assert station.reloads == int(status == 200)
