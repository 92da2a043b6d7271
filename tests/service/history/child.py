"""Histories in a process of their own, to be killed, kept from writing, or left without room.

python -m tests.service.history.child write FILE FIRST          sessions FIRST, FIRST+1, … until it is killed;
                                                                prints after each commit how many are surely written
python -m tests.service.history.child as-nobody FILE            one session by a user who may not write there
python -m tests.service.history.child limited FILE BYTES        sessions until the file may not grow, then more room
python -m tests.service.history.child crowded FILE              the same with a disk that is full and cleared
python -m tests.service.history.child cramped FILE              an outage, a disk that fills, a start, room again
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from probe.model import Verdict
from tests.service.history.keeping import BRISK, SMTP, Desk, asked, identities, keeping

NOBODY = 65534


async def write(file: Path, first: str) -> None:
    written = 0
    async with keeping(file, patience=replace(BRISK, gather=0.001)) as desk:
        if desk.history.trouble:
            raise SystemExit(desk.history.trouble)
        for number in range(int(first), 10**9):
            desk.session((Verdict.PRESERVED, Verdict.REFUSED)[number // 7 % 2], id=str(number))
            await asyncio.sleep(0)
            if desk.history.written != written:
                written = desk.history.written
                print(int(first) + written, flush=True)
            while number - int(first) - desk.history.written > 500:  # noqa: ASYNC110 - threads set no event
                await asyncio.sleep(0.001)


async def as_nobody(file: Path) -> dict[str, Any]:
    await asyncio.to_thread(os.getpid)  # what a thread needs is loaded as long as it can be read
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    async with keeping(file) as desk:
        desk.session(id="one")
        await desk.until(lambda: desk.history.trouble is not None)
        return {"trouble": desk.history.trouble, "reasons": desk.said.reasons, "probed": len(desk.ledger.accounts)}


async def _filled(desk: Desk, make_room: Callable[[], None]) -> dict[str, Any]:
    number, before = 0, desk.history.written
    while desk.history.trouble is None:
        desk.session(Verdict.UNVERIFIED, id=str(number), transcript=())
        number += 1
        await asyncio.sleep(0)
        while number + before - desk.history.written >= 100 and desk.history.trouble is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.002)
    trouble = desk.history.trouble
    for more in range(number, number + 50):
        desk.session(Verdict.UNVERIFIED, id=str(more), transcript=())
    number += 50
    make_room()
    await desk.until(lambda: desk.history.written == number + before)
    events = [event for event, _ in desk.said.events]
    return {"trouble": trouble, "after": desk.history.trouble, "told": number, "events": events}


async def limited(file: Path, most: str) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
    async with keeping(file) as desk:
        found = await _filled(
            desk, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        )
    return {**found, "held": identities(file)}


async def crowded(file: Path) -> dict[str, Any]:
    ballast = file.with_name("ballast")
    async with keeping(file) as desk:
        desk.session(id="begun")
        await desk.writes(1)
        _fill(ballast)
        found = await _filled(desk, ballast.unlink)
    return {**found, "held": identities(file)[1:]}


async def cramped(file: Path) -> dict[str, Any]:
    ballast = file.with_name("ballast")
    async with keeping(file) as desk:
        desk.session(Verdict.REFUSED, id="first")
    _fill(ballast)
    async with keeping(file) as desk:
        trouble, lasting = desk.history.trouble, desk.ledger.accounts[SMTP.name].outage
        desk.session(Verdict.REFUSED, id="second")
        ballast.unlink()
        await desk.writes(1)
    after = asked(file, "SELECT first, ended FROM outages")
    return {"trouble": trouble, "lasting": lasting.first if lasting else None, "after": after}


def _fill(ballast: Path) -> None:
    with ballast.open("wb") as opened:
        while True:
            try:
                os.write(opened.fileno(), bytes(4096))
            except OSError:
                break


if __name__ == "__main__":
    acts = (write, as_nobody, limited, crowded, cramped)
    act = {one.__name__.replace("_", "-"): one for one in acts}[sys.argv[1]]
    outcome = asyncio.run(act(Path(sys.argv[2]), *sys.argv[3:]))
    if outcome is not None:
        print(json.dumps(outcome))
