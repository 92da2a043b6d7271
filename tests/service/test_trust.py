"""Trust checks: who believes a forged header is spoofable, and nobody is asked more often than the interval says."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.ours import Ours
from probe.model import AddressFamily, Endpoint, Networks, Pace, ProxyHeader, Result, Service, TlsOptions, Verdict
from probe.service.cycle import probe_endpoint
from probe.service.learnt import Learnt
from probe.service.trust import TrustChecks, fresh_claim
from probe.service.trust_memory import NAME, Checked, Checks, TrustMemory
from probe.service.watch import Watch
from probe.service.workshop import Workshop
from probe.sessions.lookup import Lookups
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from tests.hung_disk import hung_disk
from tests.sessions.acts import hang_up, takes_header
from tests.sessions.moment import Moment
from tests.sessions.peers import Act, Certificates, Peer, Town, Visit
from tests.sessions.resolver import in_turn
from tests.sessions.running import endpoint

HOUR = 3600.0


@pytest.fixture(scope="module", autouse=True)
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(str(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def town() -> Iterator[Town]:
    with Town() as opened:
        yield opened


def claimed(visit: Visit) -> str | None:
    """The client that the header of a visit claims, if one came (version 2, IPv4)."""
    return str(ip_address(visit.header[16:20])) if visit.header else None


async def believing(visit: Visit) -> None:
    """A reject footer that names whom the header claims, as Postfix would."""
    port = int.from_bytes(visit.header[24:26]) if visit.header else visit.client[1]
    await _footer(visit, claimed(visit) or visit.client[0], port)


async def knowing_better(visit: Visit) -> None:
    """The same from a server that reads the header and does not believe it."""
    await _footer(visit, *visit.client)


async def _footer(visit: Visit, address: str, port: int) -> None:
    await visit.say(f"503 5.5.1 Error: need RCPT command;client=[{address}]:{port}\r\n".encode())


@dataclass
class Probe:
    """A probe with trust checks, and a clock that can be put forward."""

    workshop: Workshop
    ahead: list[float] = field(default_factory=lambda: [0.0])

    async def session(self, at: Endpoint) -> Result:
        return await probe_endpoint(at, self.workshop, Ours())


@pytest.fixture
async def probe(tmp_path: Path) -> AsyncIterator[Probe]:
    ahead = [0.0]

    def clock() -> float:
        return time.time() + ahead[0]

    kit = Kit(clock=clock, token=lambda: "token", contexts=TlsContexts())
    trust = TrustChecks(interval=HOUR, memory=TrustMemory(tmp_path / NAME))
    async with Watch([], clock) as watch:
        workshop = Workshop(
            kit=kit, watch=watch, random=random.Random(1), networks=Networks(), learnt=Learnt(clock=clock), trust=trust
        )
        yield Probe(workshop, ahead)


def peer(town: Town, echo: Act = believing, service: Service = Service.SMTP) -> Peer:
    return town.open(Peer(service=service, acts={Moment.ACCEPT: takes_header(0.05), Moment.DATA: echo}))


def forgeries(of: Peer) -> list[str]:
    return [address for visit in of.visits if (address := claimed(visit))]


async def test_who_believes_a_forged_header_is_spoofable(town: Town, probe: Probe) -> None:
    server = peer(town)
    result = await probe.session(endpoint(server))
    (address,) = forgeries(server)
    assert (result.judgement.verdict, result.judgement.rule) == (Verdict.SPOOFABLE, "forged-header-believed")
    assert ip_address(address) in ip_network("192.0.2.0/24")
    assert f"claimed in a PROXY header to be {address}, and the server took that" in result.judgement.explanation
    assert [str(sighting.address) for sighting in result.evidence.sightings] == ["127.0.0.1"]


@pytest.mark.parametrize("echo", [knowing_better, hang_up])
async def test_who_does_not_believe_it_is_not(town: Town, probe: Probe, echo: Act) -> None:
    async def act(visit: Visit) -> None:
        await (echo if visit.header else believing)(visit)

    server = peer(town, act)
    result = await probe.session(endpoint(server))
    assert result.judgement.verdict is Verdict.PRESERVED
    assert len(forgeries(server)) == 1


async def test_nothing_but_the_header_goes_there(town: Town, probe: Probe) -> None:
    server = peer(town, service=Service.SUBMISSION)
    await probe.session(endpoint(server))
    plain, forged = server.visits
    assert (plain.logins, forged.logins) == (1, 0)
    assert not {"MAIL", "RCPT"} & {*plain.verbs, *forged.verbs}


async def test_a_path_that_sends_a_header_sends_the_truth_and_then_the_forgery(town: Town, probe: Probe) -> None:
    server = peer(town)
    at = endpoint(server)
    at = Endpoint(**{name: getattr(at, name) for name in at.__slots__} | {"proxy_header": ProxyHeader.V2})
    result = await probe.session(at)
    truth, forgery = forgeries(server)
    assert truth == "127.0.0.1"
    assert ip_address(forgery) in ip_network("192.0.2.0/24")
    assert result.judgement.verdict is Verdict.SPOOFABLE


async def test_once_in_an_interval_and_the_finding_holds(town: Town, probe: Probe) -> None:
    server = peer(town)
    for _ in range(3):
        result = await probe.session(endpoint(server))
        assert result.judgement.verdict is Verdict.SPOOFABLE
    assert len(forgeries(server)) == 1
    probe.ahead[0] = HOUR - 60
    assert "59 minutes ago" in (await probe.session(endpoint(server))).judgement.explanation
    probe.ahead[0] = HOUR + 60
    assert "just now" in (await probe.session(endpoint(server))).judgement.explanation
    assert len(set(forgeries(server))) == 2


async def test_another_process_remembers(town: Town, probe: Probe, tmp_path: Path) -> None:
    server = peer(town)
    await probe.session(endpoint(server))
    probe.workshop.trust = TrustChecks(interval=HOUR, memory=TrustMemory(tmp_path / NAME))
    assert (await probe.session(endpoint(server))).judgement.verdict is Verdict.SPOOFABLE
    assert len(forgeries(server)) == 1
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"x": 1}',
        '{"x": {"at": 1, "believed": {"address": "x"}}}',
        '{"x": {"at": "\\ud800"}}',
        "[" * 9999,
    ],
)
async def test_a_memory_that_makes_no_sense_is_none(town: Town, probe: Probe, tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    probe.workshop.trust = TrustChecks(interval=HOUR, memory=TrustMemory(tmp_path / NAME))
    server = peer(town)
    await probe.session(endpoint(server))
    assert len(forgeries(server)) == 1
    assert len(json.loads((tmp_path / NAME).read_text())) == 1


@pytest.mark.parametrize("spoilt", ["no directory", "no room for the file"])
async def test_where_nothing_outlives_the_process_it_forges_nothing_in_its_first_interval(
    town: Town, probe: Probe, tmp_path: Path, spoilt: str
) -> None:
    """Out of cron the process before this one may have checked a minute ago, and nobody knows."""
    if spoilt == "no directory":
        place = tmp_path / "missing" / NAME
    else:
        place = tmp_path / NAME
        place.mkdir()
    server = peer(town)
    with structlog.testing.capture_logs() as said:
        for _ in range(2):
            probe.workshop.trust = TrustChecks(interval=HOUR, memory=TrustMemory(place))
            for _ in range(2):
                assert (await probe.session(endpoint(server))).judgement.verdict is Verdict.PRESERVED
    assert forgeries(server) == []
    assert len(said) == 2
    assert f"install -d -o {os.geteuid()} {place.parent}" in said[0]["event"]
    assert os.listdir(tmp_path) == ([] if spoilt == "no directory" else [NAME])
    for hours, verdict in ((1.1, Verdict.SPOOFABLE), (1.2, Verdict.SPOOFABLE)):
        probe.ahead[0] = hours * HOUR
        assert (await probe.session(endpoint(server))).judgement.verdict is verdict
    assert len(forgeries(server)) == 1


async def test_a_check_is_written_down_before_it_is_made(town: Town, probe: Probe, tmp_path: Path) -> None:
    """Whoever is ended in the middle of it, as by a monitoring system's patience, has made it."""
    known: list[str] = []

    async def act(visit: Visit) -> None:
        if visit.header:
            known.extend(json.loads((tmp_path / NAME).read_text()))
        await believing(visit)

    await probe.session(endpoint(peer(town, act)))
    assert len(known) == 1


async def test_what_was_found_before_holds_until_the_next_check_is_through(
    town: Town, probe: Probe, tmp_path: Path
) -> None:
    server = peer(town)
    await probe.session(endpoint(server))
    again = TrustMemory(tmp_path / NAME)
    assert again.announce(endpoint(server), time.time())
    last = TrustMemory(tmp_path / NAME).last(endpoint(server))
    assert last is not None
    assert last.believed is not None


async def test_a_memory_that_cannot_be_written_leaves_nothing_behind(town: Town, probe: Probe, tmp_path: Path) -> None:
    (tmp_path / NAME / "in the way").mkdir(parents=True)
    server = peer(town)
    await probe.session(endpoint(server))
    assert len(forgeries(server)) == 0
    assert os.listdir(tmp_path) == [NAME]


async def test_a_reload_forgets_nothing_where_no_file_remembers(town: Town, probe: Probe, tmp_path: Path) -> None:
    server = peer(town)
    (tmp_path / NAME / "in the way").mkdir(parents=True)
    checks = Checks()
    probe.workshop.trust = TrustChecks(interval=HOUR, memory=TrustMemory(tmp_path / NAME, checks=checks))
    await probe.session(endpoint(server))
    probe.ahead[0] += HOUR
    assert (await probe.session(endpoint(server))).judgement.verdict is Verdict.SPOOFABLE
    probe.workshop.trust = TrustChecks(interval=HOUR, memory=TrustMemory(tmp_path / NAME, checks=checks))
    assert (await probe.session(endpoint(server))).judgement.verdict is Verdict.SPOOFABLE
    assert len(forgeries(server)) == 1


def test_what_a_listener_believes_is_a_matter_of_the_way_in(tmp_path: Path) -> None:
    """Whom we expect changes no open door; another host, or another header of our own, is another door. So is another
    TLS server name, but not where TLS comes after the listener was chosen."""
    at = Endpoint(path="vip", service=Service.SUBMISSIONS, host="10.0.20.202", port=465)
    memory = TrustMemory(tmp_path / NAME)
    memory.remember(at, Checked(at=1000.0, believed=None))
    assert memory.last(replace(at, expected=(ip_network("192.168.1.10"),), pace=Pace(due=1.0))) is not None
    ways: list[dict[str, Any]] = [
        {"host": "10.0.20.203"},
        {"family": AddressFamily.IPV4},
        {"source_address": ip_address("192.168.1.11")},
        {"proxy_header": ProxyHeader.V2},
        {"tls": TlsOptions(server_name="mail.example.org")},
    ]
    assert [memory.last(replace(at, **way)) for way in ways] == [None] * len(ways)
    at = replace(at, service=Service.SMTP, port=25)
    memory.remember(at, Checked(at=1000.0, believed=None))
    assert memory.last(replace(at, tls=TlsOptions(server_name="mail.example.org"))) is not None


def test_the_file_has_wall_times(tmp_path: Path) -> None:
    """A clock that was a day behind as the process began, and was set since."""
    at = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
    behind = TrustMemory(tmp_path / NAME, lambda: 86_400.0)
    assert behind.announce(at, 1000.0)
    now = TrustMemory(tmp_path / NAME).last(at)
    again = TrustMemory(tmp_path / NAME, lambda: 86_400.0).last(at)
    assert (now and now.at, again and again.at) == (87_400.0, 1000.0)


async def test_a_header_is_forged_at_the_address_of_the_session(town: Town, probe: Probe) -> None:
    """Of a name with two addresses. What was found holds for both, or an alert would come and go with them."""
    came_to: list[str] = []

    async def noted(visit: Visit) -> None:
        came_to.append(visit.sock.getsockname()[0])
        await takes_header(0.05)(visit)

    acts = {Moment.ACCEPT: noted, Moment.DATA: believing}
    server = town.open(Peer(service=Service.SMTP, acts=acts, host="0.0.0.0"))
    probe.workshop.kit = replace(probe.workshop.kit, lookups=Lookups(in_turn("127.0.0.2", "127.0.0.3")))
    at = replace(endpoint(server), host="mail.lab.test")
    results = [await probe.session(at) for _ in range(2)]
    assert [one.judgement.verdict for one in results] == [Verdict.SPOOFABLE] * 2
    assert came_to == ["127.0.0.2", "127.0.0.2", "127.0.0.3"]


async def test_every_check_is_said_once(town: Town, probe: Probe) -> None:
    server = peer(town)
    with structlog.testing.capture_logs() as said:
        await probe.session(endpoint(server))
        await probe.session(endpoint(server))
    (line,) = said
    (address,) = forgeries(server)
    assert line["log_level"] == "warning"
    assert line["claimed"].startswith(f"{address}:")
    assert (line["endpoint"], line["believed"]) == ("lab/smtp", "yes")


async def test_a_session_that_never_got_there_is_not_followed_by_one(town: Town, probe: Probe) -> None:
    server = peer(town)
    at = endpoint(server)
    closed = Endpoint(**{name: getattr(at, name) for name in at.__slots__} | {"port": 1})
    assert (await probe.session(closed)).judgement.verdict is Verdict.REFUSED
    assert probe.workshop.trust is not None
    assert probe.workshop.trust.memory.last(closed) is None


@given(st.sampled_from([4, 6]), st.integers())
def test_what_is_claimed_is_nobody_s(version: int, seed: int) -> None:
    claim = fresh_claim(version, random.Random(seed))
    networks = {4: ip_network("192.0.2.0/24"), 6: ip_network("2001:db8::/32")}
    assert claim.address in networks[version]
    assert claim.address not in (networks[version].network_address, networks[version].broadcast_address)
    assert claim.port is not None
    assert 1024 <= claim.port <= 65535


async def test_a_file_system_that_hangs_is_a_place_that_remembers_nothing(
    town: Town, probe: Probe, tmp_path: Path
) -> None:
    server, place = peer(town), tmp_path / "disk"
    place.mkdir()
    probe.workshop.trust = trust = TrustChecks(interval=HOUR, memory=TrustMemory(place / NAME))
    with hung_disk(place) as disk:
        disk.hang()
        result = await probe.session(endpoint(server))
        assert (result.judgement.verdict, forgeries(server)) == (Verdict.PRESERVED, [])
        assert not trust.memory.lasts
