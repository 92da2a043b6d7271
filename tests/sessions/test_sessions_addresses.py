"""From where to where: names, families, source addresses, PROXY headers, and what cannot be reached."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.model import AddressFamily, Endpoint, ProxyHeader, Service, Timeouts
from probe.sessions.open import open_session
from tests.sessions.acts import wants_header
from tests.sessions.moment import Moment
from tests.sessions.peers import Peer, Town
from tests.sessions.running import VERBS, deaf, endpoint, judged, kit

SOURCE = ip_address("127.3.2.1")
LOOPBACKS = {"127.0.0.1": AddressFamily.IPV4, "::1": AddressFamily.IPV6}
LOCALHOST = [
    (host, family)
    for host, family in LOOPBACKS.items()
    if any(found[4][0] == host for found in socket.getaddrinfo("localhost", 25))
]
"""What this machine's hosts file says of localhost; not every one has a line for IPv6."""

V2 = bytes.fromhex("0d0a0d0a000d0a515549540a")


async def _end(at: Endpoint) -> tuple[str, str, str]:
    judgement = judged(await open_session(at, kit(), list(VERBS)))
    return judgement.verdict, judgement.rule, judgement.explanation


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("host", LOOPBACKS)
async def test_both_families(town: Town, service: Service, host: str) -> None:
    session = await open_session(endpoint(town.open(Peer(service=service, host=host))), kit(), list(VERBS))
    assert session.fault is None
    assert (session.address, session.client and session.client.address) == (ip_address(host),) * 2
    assert [str(network.network_address) for network in session.expected] == [host]


@pytest.mark.parametrize(("host", "family"), LOCALHOST)
async def test_a_name_in_the_family_asked_for(town: Town, host: str, family: AddressFamily) -> None:
    peer = town.open(Peer(service=Service.SMTP, host=host))
    session = await open_session(replace(endpoint(peer), host="localhost", family=family), kit(), list(VERBS))
    assert session.fault is None
    assert (session.host, session.address) == ("localhost", ip_address(host))


@pytest.mark.parametrize("service", list(Service))
async def test_the_source_address_is_what_the_peer_sees(town: Town, service: Service) -> None:
    peer = town.open(Peer(service=service))
    session = await open_session(replace(endpoint(peer), source_address=SOURCE), kit(), list(VERBS))
    assert session.fault is None
    assert session.client is not None
    assert peer.visits[0].client == (str(session.client.address), session.client.port)
    assert session.client.address == SOURCE


async def test_a_source_address_that_is_not_ours_is_the_vantages_fault(town: Town) -> None:
    at = replace(endpoint(town.open(Peer(service=Service.SMTP))), source_address=ip_address("192.0.2.77"))
    verdict, rule, explanation = await _end(at)
    assert (verdict, rule) == ("unverified", "vantage-cannot-open")
    assert "(source_address 192.0.2.77)" in explanation


async def test_a_source_address_that_cannot_reach_is_the_vantages_fault() -> None:
    """Linux says EINVAL to a loopback source and a target elsewhere; that is not a refused connection."""
    at = replace(endpoint(Peer(service=Service.SMTP, host="192.0.2.1", port=25)), source_address=SOURCE)
    assert (await _end(at))[:2] == ("unverified", "vantage-cannot-open")


FORBIDDEN = textwrap.dedent(
    """
    import asyncio
    from probe.model import *
    from probe.sessions.open import open_session
    from tests.sessions.running import judged, kit

    async def main():
        for host in ("::1", "fd97::1", "10.97.0.1", "10.98.0.1", "fd98::1", "10.96.0.1", "10.95.0.1"):
            session = await open_session(Endpoint(path="lab", service=Service.SMTP, host=host, port=25), kit(), [])
            print(host, judged(session).verdict, judged(session).rule, session.fault.detail, sep=", ")

    asyncio.run(main())
    """
)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip6tables"),
    reason="needs a network namespace of its own, and a firewall in it",
)
def test_what_a_firewall_forbids_is_told_and_what_this_machine_forbids_is_the_vantages_fault() -> None:
    """Linux has one word, EACCES, for ICMPv6 "administratively prohibited" and for a route of its own that does, and
    the same for a neighbour that does not answer and for no route at all."""
    script = (
        "ip link set lo up && ip -6 route add prohibit fd97::/64 && ip route add prohibit 10.97.0.0/24 && "
        "ip route add unreachable 10.96.0.0/24 && "
        "ip link add near type veth peer name far && ip link set far up && ip link set near up && "
        "ip addr add 10.95.0.9/24 dev near && "
        "ip6tables -A INPUT -p tcp --dport 25 -j REJECT --reject-with icmp6-adm-prohibited && "
        f'exec {sys.executable} -c "$1"'
    )
    command = ["unshare", "--net", "sh", "-c", script, "sh", FORBIDDEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.splitlines() == [
        "::1, unannounced, nobody-answers, administratively prohibited, says a firewall or router on the way",
        "fd97::1, unverified, vantage-cannot-open, Permission denied",
        "10.97.0.1, unverified, vantage-cannot-open, Permission denied",
        "10.98.0.1, unannounced, no-route-from-here, Network is unreachable",
        "fd98::1, unannounced, no-route-from-here, Network is unreachable",
        "10.96.0.1, unannounced, no-route-from-here, No route to host",
        "10.95.0.1, unannounced, nobody-answers, No route to host",
    ], done.stderr


@pytest.mark.parametrize("name", ["nosuch.invalid", "a..b", "x" * 64 + ".invalid", "ü" * 70])
async def test_a_name_that_does_not_resolve(name: str) -> None:
    verdict, rule, explanation = await _end(endpoint(Peer(service=Service.IMAPS, host=name, port=993)))
    assert (verdict, rule) == ("resolve_failed", "name-not-resolved")
    assert "broke the protocol" not in explanation


async def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    session = await open_session(endpoint(Peer(service=Service.SMTP, port=port)), kit(), list(VERBS))
    judgement = judged(session)
    assert (judgement.verdict, judgement.rule) == ("refused", "connection-refused")
    assert session.fault is not None
    assert session.fault.detail == "Connection refused"  # asyncio has another text in its place, of a tuple


async def test_syns_that_nobody_answers() -> None:
    with deaf() as port:
        at = replace(endpoint(Peer(service=Service.IMAPS, port=port)), timeouts=Timeouts(connect=0.3, session=2))
        assert (await _end(at))[:2] == ("silent_drop", "syn-unanswered")


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("host", LOOPBACKS)
@pytest.mark.parametrize("version", [ProxyHeader.V1, ProxyHeader.V2])
async def test_the_header_names_both_ends(town: Town, service: Service, host: str, version: ProxyHeader) -> None:
    peer = town.open(Peer(service=service, host=host, acts={Moment.ACCEPT: wants_header(1.0)}))
    session = await open_session(replace(endpoint(peer), proxy_header=version), kit(), list(VERBS))
    assert session.fault is None
    assert session.client is not None
    assert peer.visits[0].header == _header(version, host, session.client.port or 0, peer.port)


def _header(version: ProxyHeader, host: str, client: int, server: int) -> bytes:
    six = ":" in host
    if version is ProxyHeader.V1:
        return f"PROXY TCP{6 if six else 4} {host} {host} {client} {server}\r\n".encode()
    body = ip_address(host).packed * 2 + client.to_bytes(2, "big") + server.to_bytes(2, "big")
    return V2 + (b"\x21\x21" if six else b"\x21\x11") + len(body).to_bytes(2, "big") + body


DEAD_RESOLVER = textwrap.dedent(
    """
    import asyncio, socket, time
    from dataclasses import replace
    from probe.model import *
    from probe.sessions.open import open_session
    from tests.sessions.running import judged, kit

    deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deaf.bind(("127.0.0.1", 53))
    listener = socket.create_server(("127.0.0.1", 2525))
    ours = kit()
    path = Endpoint(path="lab", service=Service.SMTP, host="mail.lab.test", port=2525, timeouts=Timeouts(session=1.0))

    async def main():
        named = [open_session(path, ours, []) for _ in range(40)]
        begun = time.monotonic()
        async with asyncio.timeout(5):
            literal = asyncio.create_task(open_session(replace(path, host="127.0.0.1"), ours, []))
            sessions = await asyncio.gather(*named)
            plain = await literal
        print({judged(session).rule for session in sessions}, plain.fault.phase, time.monotonic() - begun < 4)

    asyncio.run(main())
    """
)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a network namespace of its own")
def test_a_dead_resolver_delays_neither_other_paths_nor_the_exit(tmp_path: object) -> None:
    """glibc waits 10 s for it; 40 such names must not stop a path that needs no resolver, nor keep the process."""
    resolver = f"{tmp_path}/resolv.conf"
    with open(resolver, "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.1\n")
    script = f'ip link set lo up && mount --bind {resolver} /etc/resolv.conf && exec {sys.executable} -c "$1"'
    command = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", DEAD_RESOLVER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=9, check=False)
    assert done.stdout.strip() == "{'name-not-resolved'} first_byte True", done.stderr


async def test_sessions_to_one_name_side_by_side(town: Town) -> None:
    peer = town.open(Peer(service=Service.SUBMISSION))
    at = replace(endpoint(peer, session=5), host="localhost", family=AddressFamily.IPV4)
    sessions = await asyncio.gather(*(open_session(at, kit(), list(VERBS)) for _ in range(20)))
    assert [session.fault for session in sessions] == [None] * 20
    assert len({session.client for session in sessions}) == 20


IN_A_CROWD = textwrap.dedent(
    """
    import asyncio, socket, sys
    from dataclasses import replace
    from probe.model import *
    from probe.sessions.open import open_session
    from tests.sessions.running import kit

    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("40000 40031")
    ours, servers = kit(), [f"127.0.0.{number}" for number in range(2, 14)]
    listeners = [socket.create_server((server, 2525)) for server in servers]
    path = Endpoint(path="lab", service=Service.SMTP, host="127.0.0.1", port=2525, timeouts=Timeouts(session=0.3))

    async def side_by_side():
        sessions = await asyncio.gather(*(open_session(replace(path, host=server), ours, []) for server in servers))
        return [session.client.port for session in sessions]

    def one_after_another():
        for _ in servers:
            with ours.ports.bound(path, socket.AF_INET) as sock:
                yield sock.getsockname()[1]

    ports = asyncio.run(side_by_side()) if sys.argv[1] == "side by side" else list(one_after_another())
    print(len(set(ports)), "ports of", len(ports))
    """
)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a network namespace of its own")
@pytest.mark.parametrize("how", ["side by side", "one after another"])
def test_no_two_sessions_share_a_port_even_to_different_servers(how: str) -> None:
    """A log line with our address and this port would be either's, also one that comes late."""
    script = f'ip link set lo up && exec {sys.executable} -c "$1" "$2"'
    command = ["unshare", "--net", "sh", "-c", script, "sh", IN_A_CROWD, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "12 ports of 12", done.stderr
