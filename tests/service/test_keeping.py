"""History and sink over a change of the configuration: what it does not name goes on untouched."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from probe.model import Verdict
from probe.report.json import timestamp
from probe.service.clock import SteadyClock
from probe.service.keeping import Keeping
from probe.service.ledger import Ledger
from probe.settings import Settings, load, targets
from tests.builders import result
from tests.evidence.sources.loki_reading import behind_tls, serving
from tests.service.history.keeping import Time, identities
from tests.service.test_sink import answers, held


@dataclass
class Desk:
    """A keeping with a ledger before it, as the daemon puts them together."""

    keeping: Keeping
    ledger: Ledger
    clock: SteadyClock
    folder: Path
    content: dict[str, Any]

    def session(self, verdict: Verdict, identity: str) -> None:
        self.ledger.record(result(verdict, id=identity, opened=self.clock()))

    async def reload(self, **changed: Any) -> None:
        self.content.update(changed)
        await self.keeping.change(settings_of(self.folder, self.content), self.ledger.known)


def settings_of(folder: Path, content: dict[str, Any]) -> Settings:
    file = folder / "mailprobe.yaml"
    file.write_text(yaml.safe_dump(content))
    return load(file, environment={}, hostname="here")


@asynccontextmanager
async def kept(folder: Path, clock: SteadyClock | None = None, **content: Any) -> AsyncIterator[Desk]:
    path = {"name": "vip", "host": "10.0.20.202", "endpoints": [{"service": "smtp"}]}
    content = {"paths": [path], "vantage": {"name": "one"}, "history": {"file": str(folder / "h.db")}, **content}
    settings, clock = settings_of(folder, content), clock or SteadyClock(time.monotonic, time.time)
    async with Keeping(settings, clock) as keeping:
        ledger = Ledger(targets(settings))
        keeping.follow(ledger)
        yield Desk(keeping, ledger, clock, folder, content)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 - what the other side does sets no event here
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "changed",
    [
        {"sink": {"kind": "loki", "url": "http://127.0.0.1:9"}},
        {"vantage": {"name": "two"}},
        {"history": {"file": "h.db", "size": "1GB"}},
    ],
    ids=["sink", "vantage", "size"],
)
async def test_what_waits_for_a_history_in_trouble_goes_on_waiting(tmp_path: Path, changed: dict[str, Any]) -> None:
    if "history" in changed:
        changed = {"history": {**changed["history"], "file": str(tmp_path / "later" / "h.db")}}
    async with kept(tmp_path, history={"file": str(tmp_path / "later" / "h.db")}) as desk:
        assert desk.keeping.history.trouble is not None
        desk.session(Verdict.REFUSED, "waits")
        await desk.reload(**changed)
        (tmp_path / "later").mkdir()
        await until(lambda: desk.keeping.history.trouble is None)
    assert identities(tmp_path / "later" / "h.db") == ["waits"]


@pytest.mark.parametrize("how", ["renamed", "moved", "removed"])
async def test_whoever_reads_what_is_left_hears_that_nobody_tells_there_how_an_outage_ends(
    tmp_path: Path, how: str
) -> None:
    async with serving() as loki, serving() as other:
        sink = {"kind": "loki", "url": loki.url}
        async with kept(tmp_path, sink=sink) as desk:
            desk.session(Verdict.REFUSED, "begins")
            match how:
                case "renamed":
                    await desk.reload(vantage={"name": "two"})
                case "moved":
                    await desk.reload(sink={**sink, "url": other.url})
                case "removed":
                    await desk.reload(sink=None)
            desk.session(Verdict.REFUSED, "goes on")
        left = [line for _, labels, line in held(loki) if labels["vantage"] == "one"]
        assert [line["event"] for line in left] == ["verdict", "outage_began", "outage_ended"]
        assert left[-1]["ended"] == left[-1]["seen"]
        assert str(left[-1]["explanation"]).startswith("it may last")
        found = [line for _, labels, line in [*held(loki), *held(other)] if line not in left]
        assert [line["event"] for line in found] == ([] if how == "removed" else ["standing"])
        if found:
            assert found[0]["outage_began"] == left[-1]["began"]


@pytest.mark.parametrize("found", [Verdict.PRESERVED, Verdict.REFUSED])
async def test_whoever_reads_the_sink_hears_the_end_of_an_outage_that_is_found_late(
    tmp_path: Path, found: Verdict
) -> None:
    """An earlier process told its begin, and its history cannot be read until this one has had a session."""
    (tmp_path / "aside").mkdir()
    async with serving() as loki:
        sink = {"kind": "loki", "url": loki.url}
        async with kept(tmp_path, sink=sink, history={"file": str(tmp_path / "aside" / "h.db")}) as desk:
            desk.session(Verdict.REFUSED, "begins")
        async with kept(tmp_path, sink=sink, history={"file": str(tmp_path / "later" / "h.db")}) as desk:
            desk.session(found, "first")
            (tmp_path / "aside").rename(tmp_path / "later")
            await until(lambda: desk.keeping.history.trouble is None)
            desk.session(found, "goes on")
            desk.session(Verdict.PRESERVED, "last")
        lines = [line for _, _, line in held(loki)]
    (whole,) = desk.ledger.accounts[targets(settings_of(tmp_path, desk.content))[0].name].outages
    began = [line["began"] for line in lines if line["event"] == "outage_began"]
    ended = {line["began"]: line for line in lines if line["event"] == "outage_ended"}
    assert sorted(began) == sorted(ended)
    told = ended.pop(timestamp(whole.began))
    assert (told["seconds"], told["severity"]) == (round(whole.seconds, 3), "ok")
    assert [line["seconds"] for line in ended.values()] == ([0.0] if found is Verdict.REFUSED else [])
    assert [line["outage_began"] for line in lines if line["event"] == "standing"] == [told["began"]] * len(ended)


async def test_the_begin_of_an_outage_stays_what_was_told_whatever_the_clock_is_set_to(tmp_path: Path) -> None:
    """A machine whose clock is set by NTP a while after its start, and again; the daemon is restarted meanwhile."""
    now = Time(boot="this")
    began = now.wall
    async with serving() as loki:
        sink = {"kind": "loki", "url": loki.url}
        async with kept(tmp_path, now.clock(), sink=sink) as desk:
            desk.session(Verdict.REFUSED, "begins")
        now.passes(30)
        now.wall += 7200
        async with kept(tmp_path, now.clock(), sink=sink) as desk:
            desk.session(Verdict.REFUSED, "goes on")
            now.passes(30)
            now.wall -= 3600.001
            desk.session(Verdict.PRESERVED, "ends")
        lines = {line["event"]: line for _, _, line in held(loki)}
    told = (lines["outage_began"]["began"], lines["standing"]["outage_began"], lines["outage_ended"]["began"])
    assert told == (timestamp(began),) * 3
    assert (lines["outage_ended"]["ended"], lines["outage_ended"]["seconds"]) == (timestamp(now.wall), 60.0)


async def test_another_login_of_a_sink_ends_nothing_and_loses_nothing_that_waited_for_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    async with serving() as loki:
        sink = {"kind": "loki", "url": loki.url}
        loki.push_script.extend([answers(401)] * 1000)
        async with kept(tmp_path, sink=sink) as desk:
            desk.session(Verdict.REFUSED, "begins")
            await until(lambda: bool(desk.keeping.troubles))
            desk.session(Verdict.PRESERVED, "ends")
            loki.push_script.clear()
            await desk.reload(sink={**sink, "username": "probe", "password_file": str(tmp_path / "password")})
            await until(lambda: not desk.keeping.troubles)
        lines = [line["event"] for _, _, line in held(loki)]
        assert sorted(lines) == ["outage_began", "outage_ended", "verdict", "verdict"]


async def test_a_certificate_of_the_sink_that_is_mended_in_its_file_counts_after_a_reload(tmp_path: Path) -> None:
    """The configuration is the same to the letter."""
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trustme.CA().cert_pem.write_to_path(ca_file)
    async with serving() as loki, behind_tls(loki, context) as port:
        sink = {"kind": "loki", "url": f"https://127.0.0.1:{port}", "tls": {"ca_file": str(ca_file)}}
        async with kept(tmp_path, sink=sink) as desk:
            desk.session(Verdict.REFUSED, "begins")
            await until(lambda: "certificate" in " ".join(desk.keeping.troubles))
            authority.cert_pem.write_to_path(ca_file)
            await desk.reload()
            await until(lambda: not desk.keeping.troubles)
        assert sorted(line["event"] for _, _, line in held(loki)) == ["outage_began", "verdict"]
