"""A machine that slept: the time is one in which nobody looked, and nobody is blamed for it. Its clock is passed in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import yaml

from probe.demo.world import demo_world
from probe.model import Verdict
from probe.service.clock import SteadyClock
from probe.service.daemon import Daemon
from probe.service.systemd import Systemd
from probe.settings import Settings, load
from tests.service.running import BRISK, free_port, until

HOURS = 8 * 3_600.0


async def test_verdicts_end_where_the_machine_slept_and_no_turn_is_called_stuck(tmp_path: Path) -> None:
    slept = [0.0]
    clock = SteadyClock(lambda: time.monotonic() + slept[0], lambda: time.time() + slept[0], time.monotonic)
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as world:
        file = tmp_path / "mailprobe.yaml"
        web, history = {"listen": f"127.0.0.1:{free_port()}"}, {"file": str(tmp_path / "history.db")}
        file.write_text(yaml.safe_dump({**world.config(), **BRISK, "web": web, "history": history}))
        settings = load(file, environment={}, hostname="here")

        def read() -> Awaitable[Settings]:
            raise AssertionError("nobody reloads")

        daemon, stop = Daemon(read, settings, clock, Systemd({})), asyncio.Event()
        running = asyncio.create_task(daemon.run(stop))

        def all_preserved() -> bool:
            changes = [account.change for account in daemon.ledger.accounts.values()]
            return all(one is not None and one.verdict is Verdict.PRESERVED for one in changes)

        await until(all_preserved, "verdicts")
        slept[0] = HOURS
        woke = clock()
        assert daemon.troubles == ()

        def all_judged_again() -> bool:
            return all(
                one.latest is not None and one.latest.session.opened >= woke for one in daemon.ledger.accounts.values()
            )

        await until(all_judged_again, "sessions after the sleep")
        changes = [list(account.changes)[-2:] for account in daemon.ledger.accounts.values()]
        assert daemon.troubles == ()
        stop.set()
        await running
    for before, after in changes:
        assert before.verdict is Verdict.PRESERVED  # the demo's servers, whose log has the true time, were not asleep
        assert before.seen < woke <= after.at  # no verdict spans the hours in which nobody looked
    assert abs(clock.shift) < 1.0
