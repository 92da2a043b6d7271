"""The lab shows what field notes saw: every scenario's signature, checked with a bare client and the servers' logs."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import SCENARIOS, Lab, find_all, namespaces
from tests.lab.addresses import (
    EXPIRED,
    EXPIRED_NAME,
    FIRST_CONTACT,
    METRICS,
    NODES,
    PASSWORD,
    PLAIN_SMTPD,
    PROXY_DOWN,
    PROXY_FORGETS_HEADER,
    PROXY_TWIN,
    PROXY_UNWANTED_HEADER,
    RATE_LIMITED,
    ROUTER_LAN,
    SERVICES,
    STOCK,
    THROTTLED,
    TUNNEL,
    USER,
    VANTAGE,
    VANTAGE_NAMED,
    VANTAGE_UNTRUSTED,
    VIP,
)
from tests.lab.conftest import running_lab
from tests.lab.scenarios import TLS_FIRST
from tests.lab.servers import wait_until
from tests.lab.signatures import (
    V2_LOCAL_HEADER,
    Heard,
    Target,
    at_once,
    connecting,
    connection,
    dialogue,
    handshake,
    listen,
    v2_header,
)

# Python itself leaves the socket open where wrap_socket() finds the other side gone.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FORGED = v2_header("203.0.113.7", "10.0.20.1")
PLAIN_FIRST = ("smtp", "submission")


# Tests of one generation share one lab, so they stay in one worker when there are several.
GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"lab-{name}")) for name in sorted(find_all())]


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param) as running:
        yield running


def whole(seconds: float) -> int:
    """A server's timeout of whole seconds, measured on a machine that may be late by nearly another one."""
    return int(seconds + 0.1)


def heard_at_once(
    lab: Lab, host: str, ports: dict[str, int], *, first: bytes = b"", seconds: float = 8
) -> dict[str, Heard]:
    """What each service of a path says to a client that sends `first` and then nothing."""
    acts = [
        functools.partial(listen, Target(lab=lab, host=host, port=port), first=first, seconds=seconds)
        for port in ports.values()
    ]
    return dict(zip(ports, at_once(*acts), strict=True))


def shaken_at_once(lab: Lab, host: str, ports: dict[str, int], *, first: bytes = b"") -> dict[str, tuple[str, float]]:
    """How the handshake ends at each service that starts with TLS."""
    wanted = {service: ports[service] for service in TLS_FIRST if service in ports}
    acts = [
        functools.partial(handshake, Target(lab=lab, host=host, port=port), first=first) for port in wanted.values()
    ]
    return dict(zip(wanted, at_once(*acts), strict=True))


def logged_addresses(lab: Lab, host: str, *, source: str | None = None) -> set[str]:
    """The client addresses that Postfix and Dovecot logged for one plain and one TLS session over `host`."""
    marks = len(lab.postfix_log.read_text()), len(lab.dovecot_log.read_text())
    mail_port = PLAIN_SMTPD if host in (VIP.v4, VIP.v6) else STOCK["smtp"]
    dialogue(Target(lab=lab, host=host, port=mail_port, source=source), "EHLO x", "NOOP", "RSET", "QUIT")
    handshake(Target(lab=lab, host=host, port=STOCK["imaps"], source=source))

    def new_lines() -> tuple[str, str]:
        return lab.postfix_log.read_text()[marks[0] :], lab.dovecot_log.read_text()[marks[1] :]

    wait_until(lambda: "disconnect from" in new_lines()[0] and "rip=" in new_lines()[1], "both log lines", 5)
    postfix, dovecot = new_lines()
    assert "disconnect from" in postfix
    return {
        *re.findall(r"disconnect from \S+\[(\S+)\] ehlo=1 rset=1 noop=1 quit=1 commands=4", postfix),
        *re.findall(r"rip=([^,]+), lip", dovecot),
    }


@pytest.mark.parametrize(
    ("scenario", "address"),
    [
        ("local", VANTAGE.v4),
        ("local-v6", VANTAGE.v6),
        ("local-named", VANTAGE_NAMED.v4),
        ("cluster", NODES["node2"].v4),
        ("cluster-v6", NODES["node2"].v6),
        ("cluster-same-node", NODES["node1"].v4),
        ("cluster-tunnel", TUNNEL.v4),
        ("gateway-nat", ROUTER_LAN.v4),
        ("haproxy-header", VANTAGE.v4),
        ("haproxy-header-v6", VANTAGE.v6),
        ("haproxy-plain", ROUTER_LAN.v4),
    ],
)
def test_servers_log_the_address_the_scenario_promises(lab: Lab, scenario: str, address: str) -> None:
    row = SCENARIOS[scenario]
    lab.apply(row)
    assert logged_addresses(lab, row.host, source=row.source_address) == {address}


def test_port_is_kept_by_local_and_lost_by_cluster(lab: Lab) -> None:
    seen = {}
    for name in ("local", "cluster"):
        lab.apply(SCENARIOS[name])
        with connection(Target(lab=lab, host=VIP.v4, port=2530)) as one:
            own = one.getsockname()[1]
            one.recv(4096)
        wait_until(lambda: "lost connection" in lab.postfix_log.read_text().splitlines()[-2], "the log line", 5)
        ports = re.findall(r"ports25/smtpd\[\d+\]: connect from \S+\]:(\d+)", lab.postfix_log.read_text())
        seen[name] = int(ports[-1]) == own
    assert seen == {"local": True, "cluster": False}


@pytest.mark.parametrize(
    ("scenario", "outcome", "least", "most"),
    [
        ("drop", "TimeoutError", 1.5, 2),
        ("pod-gone", "TimeoutError", 1.5, 2),
        # Over a veth pair IPv6 may take its answer while the socket is still held, and heed only that to the next SYN.
        ("reject", "ECONNREFUSED", 0, 1.5),
        ("unannounced", "EHOSTUNREACH", 2, 4.5),
    ],
)
def test_nobody_there(lab: Lab, scenario: str, outcome: str, least: float, most: float) -> None:
    lab.apply(SCENARIOS[scenario])
    patience = 1.5 if outcome == "TimeoutError" else 6
    targets = [Target(lab=lab, host=host, port=port) for host in (VIP.v4, VIP.v6) for port in STOCK.values()]
    ends = at_once(*(functools.partial(connecting, target, patience) for target in targets))
    assert {end for end, _ in ends} == {outcome}
    assert all(least <= seconds <= most for _, seconds in ends), ends


def test_header_missing(lab: Lab) -> None:
    lab.apply(SCENARIOS["header-missing"])
    ways = {VIP.v4: PROXY_TWIN, VIP.v6: PROXY_TWIN, PROXY_FORGETS_HEADER.v4: STOCK}
    all_heard = at_once(*(functools.partial(heard_at_once, lab, host, dict(ports)) for host, ports in ways.items()))
    for heard in all_heard:
        assert heard["smtp"].text == b"421 4.3.2 No system resources\r\n"
        for service in ("submission", "submissions"):
            assert heard[service].text == b"421 4.3.0 mail.lab.test Server local error\r\n"
        assert heard["imaps"].text == b""
        waits = {service: whole(one.seconds) for service, one in heard.items()}
        assert waits == {"smtp": 5, "submission": 5, "submissions": 5, "imaps": 3}
    for host, ports in ways.items():
        shaken = shaken_at_once(lab, host, dict(ports))
        assert shaken["submissions"][0] == "WRONG_VERSION_NUMBER"
        assert shaken["imaps"][0] == "closed"
        assert max(seconds for _, seconds in shaken.values()) < 1


def test_local_header_opens_what_wants_a_header(lab: Lab) -> None:
    lab.apply(SCENARIOS["header-missing"])
    for service in PLAIN_FIRST:
        target = Target(lab=lab, host=VIP.v4, port=PROXY_TWIN[service])
        assert dialogue(target, "QUIT", first=V2_LOCAL_HEADER).startswith("220")
    assert {end for end, _ in shaken_at_once(lab, VIP.v4, dict(PROXY_TWIN), first=V2_LOCAL_HEADER).values()} == {"ok"}


def test_postfix_believes_any_header_and_dovecot_only_those_it_trusts(lab: Lab) -> None:
    lab.apply(SCENARIOS["header-untrusted"])
    stranger = Target(lab=lab, host=VIP.v4, port=PROXY_TWIN["submission"], source=VANTAGE_UNTRUSTED.v4)
    dialogue(stranger, "QUIT", first=FORGED)
    wait_until(lambda: "connect from unknown[203.0.113.7]" in lab.postfix_log.read_text(), "the forged address", 5)
    imaps = Target(lab=lab, host=VIP.v4, port=PROXY_TWIN["imaps"], source=VANTAGE_UNTRUSTED.v4)
    silent, forged = listen(imaps), handshake(imaps, first=FORGED)
    assert (silent.end, silent.text, forged[0]) == ("closed", b"", "closed")
    assert max(silent.seconds, forged[1]) < 1
    wait_until(
        lambda: f"Client not trusted (rip={VANTAGE_UNTRUSTED.v4})" in lab.dovecot_log.read_text(),
        "the refusal",
        5,
    )


@pytest.mark.parametrize("way", ["direct", "haproxy"])
def test_header_nobody_wants(lab: Lab, way: str) -> None:
    lab.apply(SCENARIOS["header-unexpected"])
    host, first = (VIP.v4, FORGED) if way == "direct" else (PROXY_UNWANTED_HEADER.v4, b"")
    heard = heard_at_once(lab, host, {service: STOCK[service] for service in PLAIN_FIRST}, first=first)
    for one in heard.values():
        # smtpd 3.7: greeting, 3x500, 221; 3.10 refuses before or after the greeting; postscreen: 502, 221.
        assert re.search(rb"5(00|02) 5\.5\.2 Error|554 5\.5\.0 Error: SMTP protocol synchronization", one.text), one
        assert one.seconds < 3
    shaken = shaken_at_once(lab, host, dict(STOCK), first=first)
    assert {end for end, _ in shaken.values()} == {"closed"}
    # HAProxy takes a reset before its header is out for a failed connection, and tries again three times.
    assert max(seconds for _, seconds in shaken.values()) < (1 if way == "direct" else 4)


def test_haproxy_backend_down(lab: Lab) -> None:
    lab.apply(SCENARIOS["haproxy-down"])
    for one in heard_at_once(lab, PROXY_DOWN.v4, dict(STOCK)).values():
        assert (one.text, one.end, whole(one.seconds)) == (b"", "closed", 3)


def test_throttled_by_health_checks(lab: Lab) -> None:
    lab.apply(SCENARIOS["throttled"])
    for one in heard_at_once(lab, VIP.v4, dict(THROTTLED), seconds=7).values():
        assert (one.text, one.end) == (b"", "silent")
    assert "fatal: smtpd_peer_hostaddr_to_sockaddr" in lab.postfix_log.read_text()


def test_rate_limit(lab: Lab) -> None:
    lab.apply(SCENARIOS["rate-limited"])
    greeting = f"421 4.7.0 mail.lab.test Error: too many connections from {VANTAGE.v4}\r\n".encode()
    for service in PLAIN_FIRST:
        assert listen(Target(lab=lab, host=VIP.v4, port=RATE_LIMITED[service])).text == greeting
    with connection(Target(lab=lab, host=VIP.v4, port=RATE_LIMITED["submissions"])) as one:
        context = ssl.create_default_context(cafile=str(lab.ca_file))
        with context.wrap_socket(one, server_hostname="mail.lab.test") as wrapped:
            assert wrapped.recv(4096) == greeting


def test_first_contact_waits_after_a_teaser(lab: Lab) -> None:
    lab.apply(SCENARIOS["first-contact"])
    for _ in range(2):
        heard = listen(Target(lab=lab, host=VIP.v4, port=FIRST_CONTACT), seconds=2)
        assert heard.text == b"220-mail.lab.test ESMTP Postfix\r\n"
        assert heard.first_byte is not None
        assert heard.first_byte < 1


def test_expired_certificates(lab: Lab) -> None:
    lab.apply(SCENARIOS["expired-certificate"])
    for service in TLS_FIRST:
        target = Target(lab=lab, host=VIP.v4, port=EXPIRED[service])
        assert handshake(target, name=EXPIRED_NAME)[0] == "certificate has expired"
    assert handshake(Target(lab=lab, host=VIP.v4, port=STOCK["imaps"]), name="other.lab.test")[0].startswith(
        "Hostname mismatch"
    )


def test_message_is_delivered_and_read_back(lab: Lab) -> None:
    lab.apply(SCENARIOS["login"])
    lines = (
        "EHLO x",
        f"MAIL FROM:<{USER}>",
        f"RCPT TO:<{USER}>",
        "DATA",
        "Subject: lab\r\n\r\nhello\r\n.",
        "QUIT",
    )
    assert "queued as" in dialogue(Target(lab=lab, host=VIP.v4, port=PLAIN_SMTPD), *lines)
    mailbox = lab.directory / "mail/probe"
    wait_until(lambda: any(mailbox.glob("new/*")), "the message", 10)
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    with (
        connection(Target(lab=lab, host=VIP.v4, port=STOCK["imaps"])) as one,
        context.wrap_socket(one, server_hostname="mail.lab.test") as wrapped,
        wrapped.makefile("rwb") as stream,
    ):
        stream.write(f"a LOGIN {USER} {PASSWORD}\r\nb SELECT INBOX\r\nc FETCH 1 BODY[TEXT]\r\nd LOGOUT\r\n".encode())
        stream.flush()
        assert b"hello" in stream.read()


def test_metrics_of_dovecot(lab: Lab) -> None:
    lab.apply(SCENARIOS["local"])
    heard = listen(Target(lab=lab, host=VIP.v4, port=METRICS), first=b"GET /metrics HTTP/1.0\r\n\r\n")
    assert b"dovecot_auth_success_total" in heard.text


@pytest.mark.parametrize("host", [VIP.v4, VIP.v6])
def test_lookalikes_count_what_they_did(lab: Lab, host: str) -> None:
    lab.apply(SCENARIOS["cluster"])
    with lab.lookalikes(40, host=host) as crowd:
        time.sleep(1)  # the crowd's working time, not a wait for an event
    counts = crowd.counts
    assert {kind.partition(":")[2] for kind in counts} == {"ok"}
    assert sum(counts.values()) > 10


def test_case_names_every_service_of_its_scenario(lab: Lab) -> None:
    for scenario in SCENARIOS.values():
        case = lab.case(scenario)
        content = json.loads(case.config_file.read_text())
        assert [endpoint["service"] for endpoint in content["paths"][0]["endpoints"]] == list(case.expected)
        assert set(case.expected) <= set(SERVICES)


def test_names_resolve_only_from_the_hosts_file(lab: Lab) -> None:
    ask = "socket.getaddrinfo('{}.lab.test', 25)[0][4][0]"
    program = f"import socket; print({ask.format('mail')}); {ask.format('nowhere')}"
    start = time.monotonic()
    done = lab.run([sys.executable, "-c", program])
    assert done.stdout.strip() in (VIP.v4, VIP.v6)
    assert "gaierror" in done.stderr
    assert time.monotonic() - start < 2


# What does not depend on the servers is shown once.
once = pytest.mark.parametrize("lab", GENERATIONS[:1], indirect=True)
OWNER = """
import sys, time
from tests.lab import Lab
with Lab() as lab:
    print(lab.name, flush=True)
    {act}
"""


@contextlib.contextmanager
def other_owner(act: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process with a lab of its own, and the lab's name."""
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", OWNER.format(act=act)],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as owner:
        assert owner.stdout is not None
        yield owner, owner.stdout.readline().strip()


def traces(name: str) -> list[str]:
    left = [str(path) for path in (namespaces.BASE / name, *namespaces.NETNS.glob(f"{name}-*")) if path.exists()]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{name}" in line]
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return left + mounts + [command.decode() for command in commands if f"/{name}/".encode() in command]


@once
@pytest.mark.parametrize(
    ("act", "number"),
    [("raise ValueError", None), ("time.sleep(60)", signal.SIGTERM), ("time.sleep(60)", signal.SIGINT)],
)
def test_nothing_is_left_after(lab: Lab, act: str, number: signal.Signals | None) -> None:
    with other_owner(act) as (owner, name):
        assert name.startswith("mp")
        if number:
            owner.send_signal(number)
        assert owner.wait(timeout=20) != 0
    assert traces(name) == []
    assert traces(lab.name) != []


@once
def test_killed_owner_is_cleaned_up_after_by_the_next(lab: Lab) -> None:
    with other_owner("time.sleep(60)") as (owner, name):
        assert traces(name) != []
        owner.kill()
    namespaces.reap()  # or the start of a lab in another worker, whichever comes first
    assert traces(name) == []
    # The living lab beside it is untouched.
    lab.apply(SCENARIOS["local"])
    assert connecting(Target(lab=lab, host=VIP.v4, port=STOCK["imaps"]), 5)[0] == "connected"


@once
def test_host_is_left_alone(lab: Lab) -> None:
    assert not [name for _, name in socket.if_nameindex() if name in ("outside", "port1", "pod0", "br0")]
