"""The report of a watch in real Chromium, in every light and size. Screenshots go to tests/artifacts/watch."""

from __future__ import annotations

from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from probe.report import watched_html
from probe.report.watched_words import Times
from tests.service.web.test_web_browser import AUDIT, CHROMIUM, DESK, PHONE, SWITCHES
from tests.watched import drained, watched

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "watch"
WAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"viewport": PHONE, "has_touch": True},
}
EAST = timezone(timedelta(hours=1))
SEEN = {"drained": drained(), "well": watched()}

pytestmark = [
    pytest.mark.xdist_group("chromium"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium here: apt install chromium"),
]


async def heard(page: Page, url: str) -> tuple[list[str], list[str]]:
    """What the page asked for, and what it complained of, while it was opened."""
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(url)
    return [address for address in asked if not address.startswith("data:")], complaints


async def test_readable_in_every_light_and_size_and_asking_nobody(tmp_path: Path) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        for name, seen in SEEN.items():
            file = tmp_path / f"{name}.html"
            file.write_text(watched_html.render(seen, Times(EAST)), encoding="utf-8")
            for way, how in WAYS.items():
                context = await browser.new_context(**how)
                page = await context.new_page()
                assert await heard(page, file.as_uri()) == ([file.as_uri()], [])
                await page.screenshot(path=ARTIFACTS / f"{name}-{way}.png", full_page=True)
                assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
                assert await page.evaluate(f"{AUDIT}.contrast()") == []
                assert await page.evaluate(f"{AUDIT}.accessibility()") == []
                await context.close()
        await browser.close()
