"""Draws docs/status-page.png: the page as the real server serves it, from a scripted day.

python -m tests.service.web.picture docs/status-page.png
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import ViewportSize, async_playwright

from tests.service.web.serving import serving
from tests.service.web.stage import Scripted, session_of, settings_of, story
from tests.service.web.test_web_browser import CHROMIUM, DAYS, SWITCHES, heard

SIZE = ViewportSize(width=1180, height=1336)


async def draw(file: Path) -> None:
    """Down to the last day's strips."""
    with TemporaryDirectory() as folder:
        station = Scripted(settings_of(Path(folder)))
        heard(station)
        for only, seen in DAYS.items():
            story(station, *seen, every=180, only=only)
        for name, account in station.ledger.accounts.items():
            if account.latest is not None:
                judged = account.latest.judgement
                station.ledger.record(session_of(name, station.clock() - 12, judged.verdict, cause=judged.cause))
        async with serving(station) as client, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
            page = await browser.new_page(viewport=SIZE, locale="en-GB", timezone_id="Europe/Berlin")
            await page.goto(client.base)
            await page.screenshot(path=file)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1])))
