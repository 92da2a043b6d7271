"""What a saved log shows: each rule by a log that it must tell of, and the words it is told in."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

import pytest

from probe.evidence.clients import ClientCounter
from probe.evidence.read import events
from probe.evidence.whose import Names
from probe.model import Explained, FaultSign, Networks, Puzzle, Reading, SavedLog, Severity
from probe.verdict.clients import DOOR_RULES, conclude
from probe.verdict.door_words import RULES_TOLD
from probe.verdict.troubles import TROUBLE_RULES

NOW = 1795392000.0
NETWORKS = Networks(
    nodes=(ip_network("10.0.20.101"), ip_network("10.0.20.102")),
    pods=(ip_network("10.10.0.0/16"),),
    gateways=(ip_network("10.0.20.1"),),
    proxies=(ip_network("10.0.20.5"),),
)
NAMED = Names(networks=NETWORKS, vantage=(ip_network("192.168.1.10"),))
UNNAMED = Names()
CALLED = {ip_address("10.0.20.102"): "k8s-node2"}
HEAD = "Nov 22 18:29:06 mail "


def explained(lines: Iterable[str], names: Names, **reading: object) -> Explained:
    counter = ClientCounter(names.whose)
    text = "\n".join(lines)
    found = counter.take(events(text.encode(), now=NOW))
    read: dict[str, object] = {
        "logs": (SavedLog(name="mail.log", lines=text.count("\n") + 1, octets=len(text)),),
        "lines": text.count("\n") + bool(text),
        "events": found,
        "since": None,
        "until": None,
        "puzzles": (),
        **reading,
    }
    return conclude(counter.clients(), Reading(**read), called=CALLED, named=names.any)  # type: ignore[arg-type]


def mail(address: str, program: str = "postfix/smtpd", times: int = 1) -> list[str]:
    connect = f"{HEAD}{program}[1]: connect from unknown[{address}]"
    return [connect, f"{HEAD}{program}[1]: disconnect from unknown[{address}] ehlo=1 mail=1 quit=1 commands=3"] * times


def hello(address: str, times: int = 1) -> list[str]:
    return [f"{HEAD}postfix/smtpd[1]: disconnect from unknown[{address}] ehlo=1 quit=1 commands=2"] * times


def knock(address: str, times: int = 1) -> list[str]:
    return [f"{HEAD}postfix/smtpd[1]: disconnect from unknown[{address}] commands=0/0"] * times


def screened(address: str, times: int = 1) -> list[str]:
    return [f"{HEAD}postfix/postscreen[1]: CONNECT from [{address}]:4711 to [10.10.1.5]:25"] * times


def login(address: str, users: int = 1, times: int = 1) -> list[str]:
    elements = f"method=PLAIN, rip={address}, lip=10.10.1.5, TLS"
    return [f"{HEAD}dovecot: imap-login: Login: user=<user{user}>, {elements}" for user in range(users)] * times


def strangers(number: int) -> list[str]:
    return [line for last in range(number) for line in mail(f"198.51.100.{last + 1}")]


NODE, POD, PRIVATE = "10.0.20.102", "10.10.1.9", "10.9.9.9"

DOORS: list[tuple[str, Names, list[str], str]] = [
    ("all from a node", NAMED, mail(NODE, times=12), "masked"),
    ("most from nodes", NAMED, mail(NODE, times=12) + strangers(11), "mostly-stand-ins"),
    ("nearly all from nodes", NAMED, mail(NODE, times=12) + strangers(3), "masked"),
    ("from the gateway", NAMED, mail("10.0.20.1", times=12), "masked"),
    ("from a proxy", NAMED, mail("10.0.20.5", times=12), "masked"),
    ("mail from pods", NAMED, mail(POD, times=12), "masked"),
    ("logins from a node", NAMED, login(NODE, times=12), "masked"),
    ("logins from a pod, which may be a webmail", NAMED, login(POD, 9, times=12), "mostly-stand-ins"),
    ("few from a node", NAMED, mail(NODE, times=3), "mostly-stand-ins"),
    ("health checks that say hello", NAMED, hello(NODE, 500), "mostly-stand-ins"),
    ("postscreen alone", NAMED, screened(NODE, 500), "mostly-stand-ins"),
    ("health checks beside mail", NAMED, knock(NODE, 500) + strangers(12), "no-sign"),
    ("hellos beside mail", NAMED, hello(NODE, 500) + strangers(12), "no-sign"),
    ("some from a node", NAMED, mail(NODE, times=10) + strangers(90), "some-stand-ins"),
    ("one from a node among many", NAMED, mail(NODE) + strangers(90), "no-sign"),
    ("an address that the configuration forgot", NAMED, mail(PRIVATE, times=30), "likely-masked"),
    ("all from a private address", UNNAMED, mail(PRIVATE, times=30), "likely-masked"),
    ("a handful", UNNAMED, [line for last in range(5) for line in mail(f"10.9.9.{last}", times=9)], "likely-masked"),
    ("more than a handful", UNNAMED, [line for last in range(9) for line in mail(f"10.9.9.{last}")] * 9, "cannot-tell"),
    ("few from a private address", UNNAMED, mail(PRIVATE, times=3), "cannot-tell"),
    ("the same, and networks are named", NAMED, mail(PRIVATE, times=3), "no-sign"),
    ("submission from the LAN", UNNAMED, mail(PRIVATE, "postfix/submission/smtpd", 30), "cannot-tell"),
    ("one user's logins", UNNAMED, login(PRIVATE, times=30), "cannot-tell"),
    ("many users behind one", UNNAMED, login(PRIVATE, 7, times=30), "many-users-behind-one"),
    ("strangers", UNNAMED, strangers(30), "no-sign"),
    ("strangers and a LAN", UNNAMED, strangers(30) + mail(PRIVATE, times=30), "no-sign"),
    ("knocks", UNNAMED, knock(PRIVATE, 500), "only-knocks"),
    ("logins not tried", NAMED, [line.replace("Login", "Disconnected (no)") for line in login(NODE)], "only-knocks"),
    ("the probe", NAMED, mail("192.168.1.10", times=30), "nobody"),
    ("a few local programs", NAMED, mail("127.0.0.1", times=3), "nobody"),
    ("a proxy beside the server, or many local programs", NAMED, mail("127.0.0.1", times=30), "only-loopback"),
    ("a content filter", UNNAMED, mail("127.0.0.1", times=30) + strangers(30), "no-sign"),
]


@pytest.mark.parametrize(("what", "names", "lines", "rule"), DOORS, ids=[row[0] for row in DOORS])
def test_each_rule_by_a_log(what: str, names: Names, lines: list[str], rule: str) -> None:
    told = [finding.rule for finding in explained(lines, names).findings if finding.rule != "no-clients"]
    assert told == [rule]


def test_every_rule_of_doors_has_its_log_and_its_words() -> None:
    rules = {rule.name for rule in DOOR_RULES}
    assert rules == set(RULES_TOLD) == {rule for *_, rule in DOORS}


def test_without_names_nothing_is_critical() -> None:
    for what, _, lines, _ in DOORS:
        assert explained(lines, UNNAMED).severity is not Severity.CRITICAL, what


def test_a_masked_door_in_words() -> None:
    lines = mail(NODE, times=97) + strangers(3) + login(NODE, 3, times=33)
    (finding,) = explained(lines, NAMED).findings
    assert finding.sentence == (
        "98% of 199 clients at imap-login and postfix/smtpd that began a mail or a login come from 10.0.20.102 "
        "(k8s-node2), a cluster node: kube-proxy or the node's NAT hides the clients."
    )
    assert (
        finding.first == f"{HEAD}dovecot: imap-login: Login: user=<user0>, method=PLAIN, rip={NODE}, lip=10.10.1.5, TLS"
    )
    assert "externalTrafficPolicy" in (finding.hint or "")


def test_several_nodes_in_words() -> None:
    (finding,) = explained(mail(NODE, times=12) + mail("10.0.20.101", times=8), NAMED).findings
    assert finding.sentence.startswith(
        "All 20 clients at postfix/smtpd that began a mail or a login come from 2 addresses of cluster nodes "
        "(10.0.20.102 (k8s-node2) and 10.0.20.101): "
    )


def test_a_share_is_never_rounded_to_all_or_none() -> None:
    (finding,) = explained(mail(NODE, times=999) + strangers(1), NAMED).findings
    assert finding.sentence.startswith("99% of 1,000 clients ")


def test_no_client_at_all_proves_nothing() -> None:
    done = explained(mail("192.168.1.10", times=30) + knock(NODE, 30), NAMED)
    assert done.severity is Severity.UNKNOWN
    assert done.findings[0].rule == "no-clients"


HEADERLESS = f"{HEAD}postfix/smtpd-proxy587/smtpd[1]: warning: haproxy read: timeout error"
RUDE = HEAD + "postfix/smtpd[1]: improper command pipelining after CONNECT from unknown[{}]: PROXY TCP4 x"
LIMIT = HEAD + "postfix/smtpd[1]: warning: Connection rate limit exceeded: 3 from unknown[{}] for service smtp"
FATAL = f"{HEAD}postfix/smtpd-proxy587/smtpd[1]: fatal: smtpd_peer_hostaddr_to_sockaddr: cannot convert"
GETPEERNAME = "getpeername: Transport endpoint is not connected -- dropping this connection"
HUNG_UP = f"{HEAD}postfix/postscreen[1]: warning: {GETPEERNAME}"
THROTTLED = f"{HEAD}postfix/master[1]: warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling"

TROUBLES: list[tuple[str, list[str], str, Severity]] = [
    ("header missing", [HEADERLESS] * 2, "header-missing", Severity.CRITICAL),
    ("header missing once", [HEADERLESS], "header-missing", Severity.WARNING),
    (
        "header missing beside clients",
        [HEADERLESS] * 2 + mail("198.51.100.7", "postfix/smtpd-proxy587/smtpd", 20),
        "header-missing",
        Severity.WARNING,
    ),
    ("header unexpected", [RUDE.format("198.51.100.7")] * 2, "header-unexpected", Severity.CRITICAL),
    (
        "header not trusted",
        [f"{HEAD}dovecot: imap-login: Warning: haproxy: Client not trusted (rip=10.0.20.102)"] * 2,
        "header-untrusted",
        Severity.CRITICAL,
    ),
    ("throttled", [THROTTLED], "throttled", Severity.CRITICAL),
    ("health check", [FATAL], "health-check", Severity.WARNING),
    ("hung up", [HUNG_UP], "hung-up", Severity.OK),
    ("limit of a node", [LIMIT.format(NODE)], "shared-limit", Severity.WARNING),
    ("limit of an inside address", [LIMIT.format(PRIVATE)], "shared-limit", Severity.WARNING),
    ("limit of a stranger", [LIMIT.format("198.51.100.7")], "own-limit", Severity.OK),
    ("limit of ours", [LIMIT.format("192.168.1.10")], "probe-limit", Severity.WARNING),
    ("fatal", [f"{HEAD}postfix/smtpd[1]: fatal: no space left"], "fatal", Severity.WARNING),
    (
        "handshakes",
        [f"{HEAD}postfix/submissions/smtpd[1]: SSL_accept error from unknown[198.51.100.7]: -1"],
        "handshakes",
        Severity.OK,
    ),
]


@pytest.mark.parametrize(("what", "lines", "rule", "severity"), TROUBLES, ids=[row[0] for row in TROUBLES])
def test_each_fault_by_its_lines(what: str, lines: list[str], rule: str, severity: Severity) -> None:
    told = {finding.rule: finding for finding in explained(lines, NAMED).findings}
    assert told[rule].severity is severity
    assert told[rule].first == lines[0]
    assert "{" not in told[rule].sentence


def test_every_fault_has_its_rule_and_every_rule_its_lines() -> None:
    assert {rule.sign for rule in TROUBLE_RULES} == set(FaultSign)
    assert {rule.name for rule in TROUBLE_RULES} == {rule for *_, rule, _ in TROUBLES}


class TestReading:
    def test_nothing_to_read(self) -> None:
        assert explained([], UNNAMED).findings[0].rule == "empty"

    def test_nothing_understood(self) -> None:
        odd = Puzzle(kind="no header of a log", count=2, first="<html>")
        done = explained(["<html>", "</html>"], UNNAMED, puzzles=(odd,))
        assert (done.severity, done.findings[0].rule, done.findings[0].first) == (
            Severity.UNKNOWN,
            "nothing-understood",
            "<html>",
        )

    def test_a_log_that_could_not_be_read_is_no_ok(self) -> None:
        logs = (
            SavedLog(name="a.log", lines=60, octets=1),
            SavedLog(name="b.log", lines=0, octets=0, fault="no such file"),
        )
        done = explained(strangers(30), UNNAMED, logs=logs)
        assert done.severity is Severity.UNKNOWN
        assert done.findings[0].sentence == "Not all was read: b.log: no such file."

    def test_where_nothing_could_be_read_it_says_where_logs_are(self) -> None:
        logs = (SavedLog(name="mail.log", lines=0, octets=0, fault="no such file"),)
        (found,) = explained([], UNNAMED, logs=logs).findings
        assert (found.rule, found.sentence) == ("not-all-read", "Nothing was read: mail.log: no such file.")
        assert "journalctl" in (found.hint or "")

    def test_the_worst_comes_first(self) -> None:
        logs = (SavedLog(name="b.log", lines=0, octets=0, fault="no such file"),)
        done = explained([*strangers(30), LIMIT.format(PRIVATE), THROTTLED], UNNAMED, logs=logs, interrupted=True)
        assert [finding.rule for finding in done.findings] == [
            "throttled",
            "shared-limit",
            "not-all-read",
            "interrupted",
            "no-sign",
        ]
