"""The example for Alertmanager: who is told, and what is not told, by the program itself."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web

from tests.deploy.promtool import GENERATIONS, MAINTENANCE_RULES, RULES, alerts, program, run
from tests.deploy.story import seconds
from tests.lab.pager import hurried
from tests.service.metrics.programs import running, serving

EXAMPLE = RULES.with_name("alertmanager.example.yaml")
VIP = {"path": "vip", "service": "smtp", "severity": "critical"}
IMAPS = {**VIP, "service": "imaps"}
OTHER = {**VIP, "path": "outside"}
DROP, MASKED = {"alertname": "MailprobeSilentDrop"}, {"alertname": "MailprobeMasked"}
UNVERIFIED = {"alertname": "MailprobeUnverified", "severity": "warning", "service": "smtp"}
MAINTENANCE = {"alertname": "MailprobeMaintenance"}
SOURCE = {"alertname": "MailprobeEvidenceSourceDown", "source": "loki", "severity": "warning"}

FACTOR = 60
"""By so much times of the example are shorter where something has to be told: a minute is 1 s."""
SOON = 4.0
"""Seconds for what takes one, on a busy machine; a group_interval of 5 minutes would take 5."""
SCRAPE_AND_EVALUATION = 30 + 10
"""Seconds by which two Prometheis end an alert apart."""

STEADY = 10
"""Answers alike, one after the other, after which nothing more will come."""

ROUTES = (
    ("pager", "MailprobeSilentDrop", {"path": "vip", "severity": "critical"}),
    ("pager", "MailprobeAbsent", {"severity": "critical"}),
    ("pager", "MailprobeCertificateExpiring", {"path": "vip", "severity": "critical"}),
    ("chat", "MailprobeCertificateExpiring", {"path": "vip", "severity": "warning"}),
    ("chat", "MailprobeUnverified", {"path": "vip", "severity": "warning"}),
    ("nobody", "MailprobeMaintenance", {"path": "vip"}),
    ("chat", "SomebodyElses", {"severity": "critical"}),
)

INHIBITED = {
    "a drop of the whole path: masked and unverified of each of its services, and of no other path": (
        [DROP | VIP, DROP | IMAPS],
        [MASKED | VIP, MASKED | IMAPS, UNVERIFIED | {"path": "vip", "vantage": "lan"}],
        [MASKED | OTHER, DROP | VIP],
    ),
    "a port that is refused: nothing of its path's other services": (
        [{"alertname": "MailprobeRefused"} | IMAPS],
        [MASKED | IMAPS],
        [MASKED | VIP, UNVERIFIED | {"path": "vip", "vantage": "lan"}],
    ),
    "a maintenance of a path: all of it": (
        [MAINTENANCE | {"path": "vip"}],
        [DROP | VIP, {"alertname": "MailprobeShortOutage", "path": "vip", "severity": "warning"}],
        [DROP | OTHER, {"alertname": "SomebodyElses", "path": "vip"}],
    ),
    "a maintenance without a path: everything of ours": (
        [MAINTENANCE],
        [DROP | VIP, DROP | OTHER, SOURCE | {"vantage": "lan"}],
        [{"alertname": "SomebodyElses"}, MAINTENANCE],
    ),
    "a source that is down: what its vantage cannot prove": (
        [SOURCE | {"vantage": "lan"}],
        [UNVERIFIED | {"path": "vip", "vantage": "lan"}],
        [UNVERIFIED | {"path": "vip", "vantage": "vps"}],
    ),
    "a certificate that fails: that it expires": (
        [{"alertname": "MailprobeTlsFailed"} | VIP],
        [{"alertname": "MailprobeCertificateExpiring"} | VIP],
        [{"alertname": "MailprobeCertificateExpiring"} | OTHER],
    ),
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_everybody_is_told_what_is_theirs(generation: str) -> None:
    tool = program("amtool", generation)
    for receiver, alert, labels in ROUTES:
        told = [f"{name}={value}" for name, value in labels.items()]
        said = run(tool, "config", "routes", "test", f"--config.file={EXAMPLE}", f"alertname={alert}", *told)
        assert {"pager", "chat", "nobody"} & {*said.split()} == {receiver}, alert


def test_the_route_of_the_document_for_masking_on_purpose_leaves_drops_with_the_pager(tmp_path: Path) -> None:
    told = re.search(r"`matchers: (\[.*\bpath=.*\])`", EXAMPLE.parents[2].joinpath("docs/alerts.md").read_text("utf-8"))
    assert told
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    own = {"matchers": yaml.safe_load(told[1].replace("NAME", "vip")), "receiver": "nobody"}
    content["route"]["routes"].insert(0, own)
    copy = tmp_path / "alertmanager.yaml"
    copy.write_text(yaml.safe_dump(content), encoding="utf-8")
    wanted = {("Masked", "vip"): "nobody", ("Masked", "outside"): "pager", ("SilentDrop", "vip"): "pager"}
    for (alert, path), receiver in wanted.items():
        labels = [f"alertname=Mailprobe{alert}", f"path={path}", "severity=critical"]
        assert receiver in run(program("amtool", "host"), "config", "routes", "test", f"--config.file={copy}", *labels)


def test_alerts_that_the_example_names_exist() -> None:
    known = {rule["alert"] for rule in (*alerts(), *alerts(MAINTENANCE_RULES))}
    text = EXAMPLE.read_text(encoding="utf-8")
    named = set(re.findall(r"\bMailprobe[A-Z]\w+", text))
    for inner in re.findall(r"Mailprobe\(([\w|]+)\)", text):
        named |= {f"Mailprobe{name}" for name in inner.split("|")}
    assert named <= known


def test_pages_are_told_anew_no_sooner_than_a_pair_of_prometheis_agrees_on_their_end() -> None:
    routes = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["route"]["routes"]
    told = [seconds(one["group_interval"]) for one in routes if one["receiver"] == "pager" and "group_interval" in one]
    assert len(told) == 2
    assert min(told) > SCRAPE_AND_EVALUATION


def silence_of(document: str) -> list[str]:
    """The line of the document by which a drain is announced, as a shell reads it."""
    text = EXAMPLE.parents[2].joinpath(document).read_text("utf-8")
    return shlex.split(next(line for line in text.splitlines() if line.startswith("amtool silence add 'alertname=~")))


async def test_a_drain_that_is_announced_by_hand_stays_so_over_a_restart(tmp_path: Path) -> None:
    tool, *command = silence_of("docs/alerts.md")
    assert "path=vip" in command
    drained, others = [DROP | VIP, {"alertname": "MailprobeShortOutage", "path": "vip"}], [DROP | OTHER]
    elsewhere = {"alertname": "SomebodyElses", "path": "vip"}
    for start in ("the first", "another"):
        async with alertmanager(EXAMPLE, tmp_path) as url, ClientSession() as session:
            if start == "the first":
                run(program(tool, "host"), f"--alertmanager.url={url}", *command)
            await post(session, url, [*drained, *others, elsewhere])
            await until(session, url, drained, f"{start} start", by="silencedBy")


async def test_inhibitions(tmp_path: Path) -> None:
    async with alertmanager(EXAMPLE, tmp_path) as url, ClientSession() as session:
        for story, (sources, silenced, told) in INHIBITED.items():
            await post(session, url, [*sources, *silenced, *told])
            await until(session, url, silenced, story)
            await post(session, url, [*sources, *silenced, *told], over=True)


async def test_a_drop_is_a_page_of_its_own_beside_masking_logins_and_errors_and_what_joins_it_is_told_soon(
    tmp_path: Path,
) -> None:
    """Whoever has acknowledged the masking, or what only the probe has, would sleep through it otherwise."""
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def webhook(request: web.BaseRequest) -> web.Response:
        await told.put(json.loads(await request.text()))
        return web.Response()

    async with serving(webhook) as pager, ClientSession() as session:
        file = tmp_path / "alertmanager.yaml"
        example = EXAMPLE.read_text(encoding="utf-8").replace("http://127.0.0.1:9099", pager)
        file.write_text(yaml.safe_dump(hurried(example, FACTOR)), encoding="utf-8")
        async with alertmanager(file, tmp_path) as url:
            masked, drop, errors = MASKED | VIP, DROP | VIP, {"alertname": "MailprobeServiceError"} | VIP
            login = {"alertname": "MailprobeLoginFailed"} | IMAPS
            joins = {**VIP, "alertname": "MailprobeRefused", "service": "imaps"}
            keys = []
            for posted in ([masked, login, errors], [drop], [joins]):
                await post(session, url, posted)
                async with asyncio.timeout(SOON):
                    pages = [await told.get() for _ in posted]
                said = [one["labels"] for page in pages for one in page["alerts"]]
                assert [alert for alert in posted if alert not in said] == []
                keys += [page["groupKey"] for page in pages]
            assert len({*keys[:4]}) == 4
            assert keys[3] == keys[4]
            await post(session, url, [drop, joins], over=True)
            async with asyncio.timeout(SOON):
                assert (await told.get())["status"] == "resolved"


def alertmanager(file: Path, folder: Path) -> AbstractAsyncContextManager[str]:
    arguments = (
        f"--config.file={file}",
        f"--storage.path={folder}",
        "--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    package = "prometheus-alertmanager"
    return running(package, package, *arguments, ready="/-/ready")


async def post(session: ClientSession, url: str, firing: Sequence[Mapping[str, str]], *, over: bool = False) -> None:
    """Alerts as Prometheus sends them; `over`: they have ended."""
    ends = {"startsAt": "2020-01-01T00:00:00Z", "endsAt": "2020-01-01T00:00:01Z"} if over else {}
    content = [{"labels": dict(labels), **ends} for labels in firing]
    async with session.post(f"{url}/api/v2/alerts", json=content) as answer:
        assert answer.status == 200, await answer.text()


async def until(
    session: ClientSession, url: str, silenced: Sequence[Mapping[str, str]], story: str, *, by: str = "inhibitedBy"
) -> None:
    """Wait until just these are held back, and stay so: Alertmanager takes a moment to know them."""
    held_back, wanted, times = None, sorted(map(_key, silenced)), 0
    try:
        async with asyncio.timeout(20):
            while times < STEADY:
                await asyncio.sleep(0.02)
                async with session.get(f"{url}/api/v2/alerts") as answer:
                    found = json.loads(await answer.text())
                held_back = sorted(_key(one["labels"]) for one in found if one["status"][by])
                times = times + 1 if held_back == wanted else 0
    except TimeoutError:
        raise AssertionError(f"{story}: {held_back}, expected {wanted}") from None


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
