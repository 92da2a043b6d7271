"""The faults behind each alert: how each is made on the lab's real servers, and how it is taken away again.

Rule 1: a fault is made where it would be made: in kube-proxy's rules, on the router, at a server, in a log's way. The
        daemons' configuration does not change, but for the one whose alert is about that.
Rule 2: each path has a source address of its own, so that the router can lead it astray alone, and faults last side by
        side.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.lab import SCENARIOS, Lab
from tests.lab.addresses import (
    EXPIRED,
    PASSWORD,
    PROXY_DOWN,
    PROXY_TWIN,
    PROXY_UNWANTED_HEADER,
    QUOTA,
    RATE_LIMITED,
    SERVER_NAME,
    USER,
    VANTAGE,
    VANTAGE_UNTRUSTED,
    VIP,
)
from tests.lab.configuration import NETWORKS, TOPOLOGY
from tests.lab.world import NetworkState, enter

NAMED = "named.lab.test"
OTHER_USER = "other@lab.test"
LAN_LISTEN = "10.0.20.50"
Act = Callable[[], object]


@dataclass(kw_only=True)
class Copied:
    """A log that reaches a probe by a copy of it; lines may be lost on the way, or stamped by a clock of its own."""

    log: Path
    copy: Path
    without: bytes | None = None
    """What no line that gets through has in it; nothing gets through without what every line has."""

    ahead: float | None = None
    """Seconds by which the clock is ahead that stamps the lines anew, with their zone."""

    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.copy.touch()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _run(self) -> None:
        with self.log.open("rb") as log, self.copy.open("ab", buffering=0) as copy:
            log.seek(0, os.SEEK_END)
            rest = b""
            while not self._over.wait(0.05):
                *lines, rest = (rest + log.read()).split(b"\n")
                kept = [line for line in lines if self.without is None or self.without not in line]
                copy.write(b"".join(map(self._stamped, kept)))

    def _stamped(self, line: bytes) -> bytes:
        if self.ahead is None:
            return line + b"\n"
        stamp = datetime.fromtimestamp(time.time() + self.ahead, UTC).isoformat()
        return stamp.encode() + line[len("Nov 25 20:00:00") :] + b"\n"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`alerts`: what it must lead to, each with the labels that tell it from others of its name."""

    what: str
    alerts: tuple[tuple[str, Mapping[str, str]], ...]
    on: Act
    off: Act


def smtp(path: str, source: str | None, **more: Any) -> dict[str, Any]:
    """One way to port 25 of the VIP."""
    way: dict[str, Any] = {
        "name": path,
        "host": more.pop("host", VIP.v4),
        "endpoints": more.pop("endpoints", [{"service": "smtp"}]),
        "tls": {"server_name": SERVER_NAME, **more.pop("tls", {})},
        **more,
    }
    return way | ({"source_address": source} if source else {})


def settings(lab: Lab, name: str, paths: list[dict[str, Any]], listen: str, **changed: Any) -> dict[str, Any]:
    """A daemon's configuration: schedule and timeouts are the defaults."""
    here = lab.directory / "probe" / name
    here.mkdir(parents=True)
    for path in paths:
        if path["tls"].get("verify", True):
            path["tls"] = {"ca_file": str(lab.ca_file), **path["tls"]}
    return {
        "vantage": {"name": name},
        "paths": paths,
        "networks": NETWORKS,
        "topology": TOPOLOGY,
        "history": {"file": str(here / "history.db")},
        "evidence": {"sources": [{"kind": "file", "path": str(one)} for one in (lab.postfix_log, lab.dovecot_log)]},
        "web": {"listen": listen},
        **changed,
    }


@dataclass(frozen=True, kw_only=True)
class Router:
    """What the router does to one source address."""

    lab: Lab

    def run(self, script: str) -> None:
        enter(self.lab.name, "router", script + "\nconntrack -F 2>/dev/null || true\n")

    def astray(self, source: str, port: int, to: str) -> tuple[Act, Act]:
        """Lead what goes to this port of the VIP elsewhere."""
        rule = f"PREROUTING -s {source} -d {VIP.v4} -p tcp --dport {port} -j DNAT --to-destination {to}"
        return self._pair("-t nat", rule)

    def vanish(self, source: str) -> tuple[Act, Act]:
        """Let everything from there vanish."""
        return self._pair("", f"FORWARD -s {source} -j DROP")

    def another(self, source: str, port: int, to: str) -> tuple[Act, Act]:
        """Put another address in the place of this one."""
        return self._pair("-t nat", f"POSTROUTING -s {source} -p tcp --dport {port} -j SNAT --to-source {to}")

    def _pair(self, table: str, rule: str) -> tuple[Act, Act]:
        return (
            lambda: self.run(f"iptables -w {table} -I {rule}"),
            lambda: self.run(f"iptables -w {table} -D {rule}"),
        )


def network(lab: Lab, state: NetworkState) -> tuple[Act, Act]:
    """What kube-proxy, MetalLB and the pod do."""
    return (lambda: lab.apply_network(state)), (lambda: lab.apply_network(SCENARIOS["local"].network))


def hosts(lab: Lab, before: str, after: str) -> Act:
    """Change the names of the lab, in place: the file is mounted into every namespace."""
    file = lab.directory / "etc/hosts"
    return lambda: file.write_text(file.read_text().replace(before, after))


def users(lab: Lab, line: str) -> tuple[Act, Act]:
    """Take a user away from Dovecot, and give it back."""
    file = lab.directory / "dovecot/users"

    def give() -> None:
        file.write_text(file.read_text() + line)

    give()
    return (lambda: file.write_text(file.read_text().replace(line, ""))), give


def quota(lab: Lab, router: Router, source: str) -> tuple[Act, Act]:
    """The mailbox is full, as a message arrives."""
    on, off = router.astray(source, 25, f"{VIP.v4}:{QUOTA['smtp']}")
    mail: list[Path] = []

    def fill() -> None:
        mail.append(lab.put_into_mailbox("kept", b"Subject: somebody else's\r\n\r\n" + b"Do not delete.\r\n" * 2000))
        on()

    def empty() -> None:
        off()
        for one in (lab.directory / "mail/probe").glob("*/kept*"):
            one.unlink()

    return fill, empty


def process(child: Callable[[], Popen[str]], again: Act) -> tuple[Act, Act]:
    """A daemon ends, and is started again."""

    def end() -> None:
        child().send_signal(signal.SIGTERM)
        child().wait(timeout=20)

    return end, again


def of_network(lab: Lab, only: Sequence[str] = ()) -> list[Fault]:
    """One after the other: each is of the whole network. `only`: in the order of these alerts."""
    table: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
        "drop": ("MailprobeSilentDrop", (("MailprobeAnnouncerWithoutEndpoint", "node"),)),
        "unannounced": ("MailprobeUnannounced", ()),
        "reject": ("MailprobeRefused", ()),
        "cluster": ("MailprobeMasked", ()),
    }
    faults = []
    for scenario, (alert, more) in table.items():
        on, off = network(lab, SCENARIOS[scenario].network)
        alerts = [(alert, {"path": "vip", "service": service}) for service in ("smtp", "imaps")]
        alerts += [(name, {label: "node2"}) for name, label in more]
        faults.append(Fault(what=SCENARIOS[scenario].what, alerts=tuple(alerts), on=on, off=off))
    return [one for alert in only for one in faults if one.alerts[0][0] == alert] if only else faults


PATHS = (
    *("wants", "unwanted", "silent", "expired", "limited", "deliver", "login", "named", "cheap", "away", "twin"),
    *("short", "second", "forged", "deaf", "lossy", "blind", "mortal", "ahead", "copied"),
)
SOURCES = {name: f"192.168.1.{number}" for number, name in enumerate(PATHS, start=20)}


def main_paths() -> list[dict[str, Any]]:
    """The paths of the daemon that most faults are shown to."""
    at = SOURCES
    login = {"username": USER, "password": "${PASSWORD}"}
    return [
        smtp("wants", at["wants"]),
        smtp("unwanted", at["unwanted"]),
        smtp(
            "untrusted",
            VANTAGE.v4,
            proxy_header="v2",
            endpoints=[{"service": "imaps", "port": PROXY_TWIN["imaps"]}],
        ),
        smtp("silent", at["silent"]),
        smtp("expired", at["expired"]),
        smtp("limited", at["limited"]),
        smtp(
            "deliver",
            at["deliver"],
            endpoints=[{"service": "smtp", "imprint": "deliver"}, {"service": "imaps", "login": login}],
        ),
        smtp(
            "login",
            at["login"],
            endpoints=[{"service": "imaps", "login": {**login, "username": OTHER_USER}}],
        ),
        smtp("named", at["named"], host=NAMED),
        smtp("cheap", at["cheap"], tls={"verify": False}),
        smtp("away", at["away"]),
        smtp("twin", at["twin"]),
        smtp("short", at["short"]),
    ]


def _both_severities(alert: str, path: str, pair: tuple[Act, Act]) -> Fault:
    """A warning, and a page where it lasts."""
    alerts = tuple((alert, {"path": path, "severity": severity}) for severity in ("warning", "critical"))
    return Fault(what="the probe's mailbox is full", alerts=alerts, on=pair[0], off=pair[1])


def of_listeners(lab: Lab, router: Router) -> list[Fault]:
    """Side by side: each is of one path."""

    def one(what: str, alert: str, path: str, pair: tuple[Act, Act], **labels: str) -> Fault:
        return Fault(what=what, alerts=((alert, {"path": path, **labels}),), on=pair[0], off=pair[1])

    def astray(path: str, to: int | str) -> tuple[Act, Act]:
        return router.astray(SOURCES[path], 25, f"{VIP.v4}:{to}" if isinstance(to, int) else to)

    away = f"addr {{}} {SOURCES['away']}/24 dev eth0"
    return [
        one(
            "the port leads to a listener that wants a header",
            "MailprobeProxyHeaderMissing",
            "wants",
            astray("wants", PROXY_TWIN["smtp"]),
        ),
        one(
            "HAProxy sends a header to the stock port",
            "MailprobeProxyHeaderUnexpected",
            "unwanted",
            astray("unwanted", f"{PROXY_UNWANTED_HEADER.v4}:25"),
        ),
        one(
            "the sender's address becomes one that Dovecot does not trust",
            "MailprobeProxyHeaderUntrusted",
            "untrusted",
            router.another(VANTAGE.v4, PROXY_TWIN["imaps"], VANTAGE_UNTRUSTED.v4),
        ),
        one(
            "the port leads to an HAProxy whose backend is down",
            "MailprobeNoGreeting",
            "silent",
            astray("silent", f"{PROXY_DOWN.v4}:25"),
        ),
        one(
            "the server shows an expired certificate",
            "MailprobeTlsFailed",
            "expired",
            astray("expired", EXPIRED["smtp"]),
        ),
        one(
            "anvil's connection rate limit", "MailprobeRateLimited", "limited", astray("limited", RATE_LIMITED["smtp"])
        ),
        _both_severities("MailprobeServiceError", "deliver", quota(lab, router, SOURCES["deliver"])),
        one(
            "the user is gone from Dovecot",
            "MailprobeLoginFailed",
            "login",
            users(lab, f"{OTHER_USER}:{{PLAIN}}{PASSWORD}\n"),
        ),
        one(
            "the name is gone",
            "MailprobeResolveFailed",
            "named",
            (hosts(lab, NAMED, "gone.lab.test"), hosts(lab, "gone.lab.test", NAMED)),
        ),
        one(
            "an expired certificate, and nobody verifies it",
            "MailprobeCertificateExpiring",
            "cheap",
            astray("cheap", EXPIRED["smtp"]),
            severity="critical",
        ),
        one(
            "the vantage loses the address that it connects from",
            "MailprobeStale",
            "away",
            (
                lambda: lab.run(["ip", *away.format("del").split()]),
                lambda: lab.run(["ip", *away.format("add").split()]),
            ),
        ),
        one(
            "the router drops what comes from one of two vantages",
            "MailprobeVantageDiffers",
            "twin",
            router.vanish(SOURCES["second"]),
            vantage="second",
        ),
        one(
            "the port leads to a listener that believes forged headers",
            "MailprobeSpoofable",
            "forged",
            astray("forged", PROXY_TWIN["smtp"]),
        ),
    ]
