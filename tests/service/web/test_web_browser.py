"""The pages in real Chromium: alive, calm or loud, readable by everybody. Screenshots go to tests/artifacts/web."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from probe.evidence.health import Heard
from probe.model import EndpointName, Service, Verdict
from probe.service.web import Web
from tests.service.web.serving import serving
from tests.service.web.stage import Scripted, session_of, story

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "web"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8").strip()
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
SLOW = 30_000
"""Milliseconds for a page to follow on a machine with much to do; it looks every 5 s."""

ALARM = "Mail works, but is masked by node on 4 of 7 endpoints."

LONG = "k" * 58
"""A vantage's name that nothing breaks, as nodes of clouds have."""

DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=360, height=740)

pytestmark = [
    pytest.mark.xdist_group("chromium"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium here: apt install chromium"),
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield launched
        await launched.close()


class Visit:
    """A page with all that went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def keep(self, name: str) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


async def visit(browser: Browser, url: str, **more: Any) -> Visit:
    context = await browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", **{"viewport": DESK, **more})
    made = Visit(await context.new_page())
    await made.page.goto(url)
    return made


def all_well(station: Scripted) -> None:
    heard(station)
    story(station, (26, Verdict.PRESERVED), every=600)
    for name in station.ledger.accounts:
        station.ledger.record(session_of(name, station.clock() - 12))


def in_trouble(station: Scripted) -> None:
    """An outage behind us, one now, something that is not proven, a source that is down, a history that is full."""
    heard(station)
    station.settings.vantage.__dict__["name"] = LONG
    down = Heard(source="kubernetes:mailserver/app=mailserver", up=False, reason="403: pods is forbidden")
    station.sources += (down,)
    station.troubles = ("The history cannot be written (disk full): make room under /var/lib/mailprobe.",)
    for only, seen in DAYS.items():
        story(station, *seen, every=180, only=only)


DAYS: dict[str, tuple[tuple[float, Verdict], ...]] = {
    "vip": (
        (20, Verdict.PRESERVED),
        (9, Verdict.UNVERIFIED),
        (8.5, Verdict.PRESERVED),
        (3, Verdict.SILENT_DROP),
        (2.9, Verdict.PRESERVED),
        (0.2, Verdict.MASKED),
    ),
    "haproxy/s": ((20, Verdict.PRESERVED), (5, Verdict.NO_GREETING), (4.2, Verdict.PRESERVED)),
    "haproxy/i": ((20, Verdict.PRESERVED), (2, Verdict.RATE_LIMITED), (0.1, Verdict.UNVERIFIED)),
}
"""Since how many hours ago which verdict, by the endpoints whose names begin so."""


def heard(station: Scripted) -> None:
    now = station.clock()
    station.clients = {"other": 12_044, "node": 310}
    station.sources = (
        Heard(source="loki:http://loki:3100", up=True, lines=48_211, last_line_at=now - 2, late=(0.4, 0.5, 0.6)),
    )


STATES = {"all-well": all_well, "outage": in_trouble}
WAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "no-script": {"java_script_enabled": False},
}


@pytest.mark.parametrize("state", STATES)
async def test_every_state_in_every_light_and_size(station: Scripted, browser: Browser, state: str) -> None:
    """Nothing is refused by the policy, nothing overflows, and every text stands out from its ground."""
    STATES[state](station)
    cell = next(iter(station.ledger.accounts.values())).latest
    assert cell is not None
    async with serving(station) as client:
        for way, how in WAYS.items():
            for name, path in ((state, "/"), (f"{state}-session", f"/sessions/{cell.session.id}")):
                seen = await visit(browser, client.base + path, **how)
                await seen.keep(f"{name}-{way}")
                assert seen.complaints == []
                if how.get("java_script_enabled", True):
                    assert await seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
                    assert await seen.page.evaluate(f"{AUDIT}.contrast()") == []
                    assert await seen.page.evaluate(f"{AUDIT}.accessibility()") == []
                await seen.page.context.close()


async def test_an_open_page_follows_and_keeps_what_the_reader_does(station: Scripted, browser: Browser) -> None:
    all_well(station)
    async with serving(station) as client:
        seen = await visit(browser, client.base + "/")
        page = seen.page
        await page.focus("a.cell >> nth=2")
        await page.evaluate("window.kept = document.activeElement; main.dataset.seen = 1; scrollTo(0, 120)")
        assert await page.inner_text("#pulse") == "live"
        in_trouble(station)
        await expect(page.locator("h1")).to_have_text(ALARM, timeout=SLOW)
        assert await page.title() == "✕ 4 of 7 masked by node – mailprobe"
        assert "critical" in (await page.get_attribute("#icon", "href") or "")
        assert await page.evaluate("window.kept === document.activeElement && window.kept.isConnected")
        assert await page.evaluate("scrollY") == 120
        assert await page.locator("#problems article, #doubts article").count() == 2
        assert await page.locator("section#matrix").count() == 1
        order = await page.evaluate("[...document.querySelectorAll('main > [id]')].map((one) => one.id)")
        assert order[:5] == ["hero", "problems", "doubts", "notices", "matrix"]
        station.troubles = ()
        story(station, (0, Verdict.PRESERVED))
        for name in station.ledger.accounts:
            station.ledger.record(session_of(name, station.clock()))
        await expect(page.locator("h1")).to_have_text("Every client arrives as itself.", timeout=SLOW)
        assert await page.locator("#problems, #doubts, #notices").count() == 0
        assert seen.complaints == []


async def test_a_page_left_open_over_an_upgrade_is_loaded_anew(station: Scripted, browser: Browser) -> None:
    all_well(station)
    async with serving(station) as client:
        page = (await visit(browser, client.base + "/")).page
        await page.evaluate(
            "window.kept = true; document.querySelector('script').setAttribute('src', '/assets/old.js')"
        )
        async with page.expect_event("load"):
            await page.evaluate(HIDE, False)  # noqa: FBT003 - a value for the page, which then looks
        assert await page.evaluate("window.kept === undefined")
        assert await page.inner_text("h1") == "Every client arrives as itself."


async def test_a_hidden_page_asks_nobody_and_looks_when_it_is_seen_again(station: Scripted, browser: Browser) -> None:
    all_well(station)
    async with serving(station) as client:
        page = (await visit(browser, client.base + "/")).page
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.evaluate(HIDE, True)  # noqa: FBT003 - a value for the page
        assert await page.inner_text("#pulse") == "paused"
        await page.wait_for_timeout(6_000)  # longer than it would wait between two looks
        assert [url for url in asked if "/assets/" not in url] == []
        in_trouble(station)
        await page.evaluate(HIDE, False)  # noqa: FBT003
        await expect(page.locator("h1")).to_contain_text("masked", timeout=3_000)  # sooner than its next look was due
        assert [url for url in asked if "/assets/" not in url] == [f"{client.base}/"]


async def test_a_lost_connection_is_told_and_found_again(station: Scripted, browser: Browser) -> None:
    all_well(station)
    async with serving(station) as client:
        page = (await visit(browser, client.base + "/")).page
        port = client.address[1]
    await page.wait_for_selector("#lost:not([hidden])")
    assert (await page.inner_text("#lost")).startswith("Connection lost. What you see is from ")
    assert await page.get_attribute("#lost", "role") == "alert"
    assert await page.inner_text("#pulse") == "lost"
    station.settings.web.__dict__["listen"] = type(station.settings.web.listen)("tcp", "127.0.0.1", port)
    async with Web(station):
        await page.wait_for_selector("#lost", state="hidden")
        assert await page.inner_text("#pulse") == "live"


async def test_by_keyboard_alone(station: Scripted, browser: Browser) -> None:
    in_trouble(station)
    async with serving(station) as client:
        page = (await visit(browser, client.base + "/")).page
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert await page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("Tab")
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert await page.evaluate("document.activeElement.href.includes('/sessions/')")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/sessions/*")
        assert "masked by node" in await page.inner_text("h1")


async def test_what_a_screen_reader_is_told(station: Scripted, browser: Browser) -> None:
    in_trouble(station)
    async with serving(station) as client:
        page = (await visit(browser, client.base + "/")).page
        told = await page.locator("body").aria_snapshot()
    for part in (
        "banner:",
        'navigation "Pages":',
        "main:",
        "contentinfo:",
        "- status:",
        f'heading "{ALARM}" [level=1]',
        'region "Wrong now":',
        'region "Not proven or in trouble":',
        'cell "down 403: pods is forbidden"',
        'table "Verdict of every service on every path":',
        'columnheader "imaps"',
        'rowheader "vip 10.0.20.202"',
        'link "vip imaps: masked by node for',
        'img "vip/smtp, last day: 96.0 % preserved of 20 h; unverified 30 min in 1 stretch; silent drop 6 min in 1',
    ):
        assert part in told, (part, told)


async def test_hostile_text_runs_nothing(station: Scripted, browser: Browser) -> None:
    name = EndpointName("vip", Service.SMTP, 25)
    hostile = "</code><script>document.title='owned'</script><img src=/x onerror=\"document.title='owned'\">"
    station.ledger.record(session_of(name, station.clock(), Verdict.MASKED, line=hostile, cause=hostile))
    async with serving(station) as client:
        for path in ("/", f"/sessions/vip-smtp-{station.clock():.0f}"):
            seen = await visit(browser, client.base + path)
            assert hostile in await seen.page.inner_text("main")
            assert "owned" not in await seen.page.title()
            assert seen.complaints == []
