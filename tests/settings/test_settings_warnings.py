"""What loads and is told all the same, and what depends on files of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from probe.settings import ConfigurationError, Settings, load
from probe.settings.pace import IGNORED

VIP = "paths: [{name: vip, host: 10.0.20.202, endpoints: [{service: smtp}]}]\n"


def load_text(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "mailprobe.yaml"
    file.write_text(text)
    return load(file, environment={}, hostname="host")


def warnings_of(tmp_path: Path, text: str) -> list[str]:
    return [str(warning) for warning in load_text(tmp_path, text).warnings]


def test_no_evidence_at_all(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, f"{VIP}evidence: {{reply: off}}") == [
        "line 2, evidence: no usable source and reply off: every session will end unverified"
    ]


@pytest.mark.parametrize(
    ("source", "warned"),
    [
        ("listen: 'udp://0.0.0.0:5514'", True),
        ("listen: 'tcp://:5514'", True),
        ("listen: 'udp://[::]:5514', senders: []", True),
        ("listen: 'udp://mail.example.org:5514'", True),
        ("listen: 'udp://0.0.0.0:5514', senders: [10.0.20.0/24]", False),
        ("listen: 'udp://127.0.0.1:5514'", False),
        ("listen: 'tcp://[::1]:5514'", False),
        ("listen: 'tcp://localhost:5514'", False),
    ],
)
def test_lines_from_anybody(tmp_path: Path, source: str, warned: bool) -> None:  # noqa: FBT001
    told = warnings_of(tmp_path, f"{VIP}evidence: {{sources: [{{kind: syslog, {source}}}]}}")
    assert [one.partition(": ")[0] for one in told] == ["line 2, evidence.sources[0].senders"] * warned


def test_a_vantage_inside_the_cluster(tmp_path: Path) -> None:
    text = f"{VIP}vantage: {{addresses: [192.168.1.1, 10.10.3.7]}}\nnetworks: {{pods: [10.10.0.0/16]}}"
    assert warnings_of(tmp_path, text) == [
        "line 2, vantage.addresses[1]: 10.10.3.7/32 lies in networks.pods (10.10.0.0/16): "
        "from there no session walks the clients' path"
    ]


def test_a_vantage_that_is_a_node(tmp_path: Path) -> None:
    text = f"{VIP}vantage: {{addresses: [10.0.20.101]}}\ntopology: {{nodes: {{one: 10.0.20.101, two: 10.0.20.102}}}}"
    assert warnings_of(tmp_path, text) == [
        "line 2, vantage.addresses[0]: 10.0.20.101/32 lies in topology.nodes.one (10.0.20.101/32): "
        "from there no session walks the clients' path"
    ]


def test_files_that_are_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory is none, and a name too long for any file ends nothing."""
    (tmp_path / "there").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    kubernetes = "{{kind: kubernetes, namespace: mail, selector: '{}', kubeconfig: {}}}"
    files = (tmp_path / "there", "/nonexistent/one", "~/there")
    sources = ", ".join(kubernetes.format(f"a={number}", file) for number, file in enumerate(files))
    loki = f"{{kind: loki, url: 'http://loki:3100', query: x, bearer_token_file: /{'x' * 300}}}"
    topology = f"topology: {{kubernetes: {{namespace: mail, service: mail, kubeconfig: {tmp_path}}}}}"
    assert warnings_of(tmp_path, f"{VIP}evidence: {{sources: [{sources}, {loki}]}}\n{topology}") == [
        f"line 2, evidence.sources[3].bearer_token_file: /{'x' * 300} cannot be read now: Loki is asked once it can",
        "line 2, evidence.sources[1].kubeconfig: /nonexistent/one cannot be read now: the API is asked once it can",
        f"line 3, topology.kubernetes.kubeconfig: {tmp_path} cannot be read now: the API is asked once it can",
    ]


def test_the_api_without_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightkube", None)
    assert warnings_of(tmp_path, f"{VIP}topology: {{kubernetes: {{namespace: mail, service: mail}}}}") == [
        "line 2, topology.kubernetes: the Kubernetes client is not installed: "
        "pip install '.[kubernetes]' in mailprobe's checkout"
    ]


def test_a_health_check_port_that_nobody_is_asked_on(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, f"{VIP}topology: {{health_check_node_port: 30234}}") == [
        "line 2, topology.nodes: no node is named, so nobody is asked on health_check_node_port"
    ]


def test_two_addresses_of_which_nothing_says_which_is_the_service_s(tmp_path: Path) -> None:
    hosts = ("10.0.20.202", "10.0.20.50", "10.0.20.101", "fd00::202", "mail.example.org")
    paths = ", ".join(f"{{name: p{n}, host: '{one}', endpoints: [{{service: smtp}}]}}" for n, one in enumerate(hosts))
    text, nodes = f"paths: [{paths}]\n{QUIET}", "topology: {nodes: {one: 10.0.20.101}"
    assert warnings_of(tmp_path, f"{text}{nodes}}}") == [
        "line 3, topology: nothing says which of 10.0.20.202, 10.0.20.50 is the Service's: while nodes announce two, "
        "or nobody answers for one, no metric and no alert tells who announces it; list what stands before the Service "
        "under networks.proxies, or give topology.kubernetes"
    ]
    api = "kubernetes: {namespace: mail, service: mail}"
    for told in (f"{nodes}}}\nnetworks: {{proxies: [10.0.20.50]}}", f"{nodes}, {api}}}", ""):
        assert warnings_of(tmp_path, f"{text}{told}") == []


def test_a_node_may_have_several_addresses(tmp_path: Path) -> None:
    settings = load_text(tmp_path, f"{VIP}topology: {{nodes: {{one: 10.0.20.101, two: [10.0.20.102, 'fd00::2']}}}}")
    assert settings.topology is not None
    assert {name: [*map(str, held)] for name, held in settings.topology.nodes.items()} == {
        "one": ["10.0.20.101"],
        "two": ["10.0.20.102", "fd00::2"],
    }


@pytest.mark.parametrize(
    ("content", "password"), [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw \n\n", "pw \n"), ("ß☃", "ß☃")]
)
def test_one_newline_after_a_password_does_not_count(tmp_path: Path, content: str, password: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content.encode())
    file.chmod(0o644)
    text = VIP.replace("service: smtp", f"service: smtp, login: {{username: probe, password_file: {file}}}")
    settings = load_text(tmp_path, text)
    login = settings.paths[0].endpoints[0].login
    assert login is not None
    assert login.password.reveal() == password
    (warning,) = settings.warnings
    assert warning.path == "paths[0].endpoints[0].login.password_file"
    assert warning.reason == f"{file} is readable by every user of this machine (mode 0644)"


NO_PASSWORDS = [(b"\xff\xfe", "not UTF-8 text"), (b"x" * 5000, "too long"), (b"\n", "empty")]


@pytest.mark.parametrize(("content", "reason"), NO_PASSWORDS)
def test_files_that_hold_no_password(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    text = VIP.replace("service: smtp", f"service: smtp, login: {{username: probe, password_file: {file}}}")
    with pytest.raises(ConfigurationError, match=f"{file}': {reason}, expected a readable file that holds a password"):
        load_text(tmp_path, text)


@pytest.mark.parametrize(("content", "fits"), [("-----BEGIN CERTIFICATE-----\n", True), ("key", False), ("", False)])
def test_authorities_are_a_pem_file(tmp_path: Path, content: str, fits: bool) -> None:  # noqa: FBT001
    file = tmp_path / "ca.pem"
    file.write_text(content)
    text = VIP.replace("]}]", f"], tls: {{ca_file: {file}}}}}]")
    if fits:
        assert load_text(tmp_path, text).paths[0].tls.ca_file == file
    else:
        with pytest.raises(ConfigurationError, match="no certificate in it"):
            load_text(tmp_path, text)


QUIET = "evidence: {sources: [{kind: file, path: /var/log/mail.log}]}\n"


def test_more_sessions_than_servers_usually_allow(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, f"{VIP}{QUIET}schedule: {{interval: 30s, max_sessions_per_minute: 20}}") == [
        "line 3, schedule.max_sessions_per_minute: 20 is more than servers usually allow (10 a minute): "
        "raise theirs for this client first"
    ]
    assert warnings_of(tmp_path, f"{VIP}{QUIET}schedule: {{interval: 30s, max_sessions_per_minute: 10}}") == []


def test_several_paths_to_one_server_share_its_limit(tmp_path: Path) -> None:
    """Whether they are alike by name, by address, or by what the server's certificate is for, on any port."""
    one = (
        "{{name: {}, host: {}, endpoints: [{{service: smtp, port: {}}}, {{service: imaps}}], tls: {{server_name: {}}}}}"
    )
    named, alike = ("mail.example.org", 25, "null"), ("'2001:db8:0::1'", 25, "null")
    for places, server in (
        ((named, ("Mail.Example.Org.", 25, "null")), "mail.example.org"),
        ((alike, ("'2001:DB8::1'", 25, "null")), "2001:db8::1"),
        (
            (named, ("10.0.20.202", 25, "mail.example.org"), ("10.0.20.101", 30025, "mail.example.org")),
            "mail.example.org",
        ),
    ):
        paths = ", ".join(one.format(f"p{number}", *place) for number, place in enumerate(places))
        text = f"paths: [{paths}]\n{QUIET}"
        assert warnings_of(tmp_path, text) == [
            f"line 1, paths[{len(places) - 1}].endpoints[0]: {len(places)} endpoints are smtp of {server}, with up to "
            f"{len(places) * 6} connections a minute in all while they fail; servers usually allow a client 10: lower "
            "max_sessions_per_minute or ask less often"
        ]
        assert warnings_of(tmp_path, f"{text}schedule: {{interval: 2m}}") == []
        assert warnings_of(tmp_path, f"{text}schedule: {{max_sessions_per_minute: 3}}") == [
            "line 3, schedule.interval: an endpoint that fails takes up to 3 connections a session, so it has one in "
            "60s while it fails, and the end of an outage is told late by as much: at least 60s, or a larger "
            "max_sessions_per_minute, keeps the pace"
        ]


def test_a_session_that_fails_takes_its_connections_at_once_however_few_a_minute(tmp_path: Path) -> None:
    paths = ", ".join(f"{{name: p{number}, host: 10.0.20.202, endpoints: [{{service: smtp}}]}}" for number in range(4))
    schedule = "schedule: {interval: 60s, max_sessions_per_minute: 1}"
    told = warnings_of(tmp_path, f"paths: [{paths}]\n{QUIET}{schedule}")
    assert any("with up to 12 connections a minute in all while they fail" in one for one in told), told
    assert any("so it has one in 180s while it fails" in one for one in told), told


def test_an_interval_that_an_endpoint_cannot_keep_to_while_it_fails(tmp_path: Path) -> None:
    (told,) = warnings_of(tmp_path, f"{VIP}{QUIET}schedule: {{interval: 10s}}")
    assert told.startswith(
        "line 3, schedule.interval: an endpoint that fails takes up to 3 connections a session, so it"
    )
    assert "has one in 30s while it fails" in told
    assert warnings_of(tmp_path, f"{VIP}{QUIET}schedule: {{interval: 10s, max_sessions_per_minute: 18}}") == [
        "line 3, schedule.max_sessions_per_minute: 18 is more than servers usually allow (10 a minute): "
        "raise theirs for this client first"
    ]


def test_an_interval_that_is_too_long_for_the_alerts(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, f"{VIP}{QUIET}schedule: {{interval: 301s}}") == [
        "line 3, schedule.interval: the alerts of mailprobe.rules.yaml want a session every 5m or more often: above "
        "it they come late, or not at all"
    ]
    assert warnings_of(tmp_path, f"{VIP}{QUIET}schedule: {{interval: 5m}}") == []


def test_messages_that_are_read_back_draw_on_the_budget_of_imaps(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pw\n")
    file.chmod(0o600)
    login = f"login: {{username: probe@example.org, password_file: {file}}}"
    letters = ", ".join(f"{{service: {one}, {login}, imprint: deliver}}" for one in ("submission", "submissions"))
    letters += ", {service: smtp, imprint: deliver}"
    text = f"paths: [{{name: vip, host: 10.0.20.202, endpoints: [{letters}, {{service: imaps, {login}}}]}}]\n{QUIET}"
    assert warnings_of(tmp_path, text) == [
        "line 1, paths[0].endpoints[3]: 8 connections a minute, for 3 endpoints read their messages back here, and "
        "schedule.max_sessions_per_minute is 6: turns will be left out; raise it or ask less often"
    ]
    assert warnings_of(tmp_path, f"{text}schedule: {{interval: 40s}}") == []


def test_refused_recipients_that_a_guard_may_count(tmp_path: Path) -> None:
    one, other = "{service: smtp, imprint: reject}", "{service: submissions, imprint: reject}"
    for endpoints, interval, count in (
        (one, "30s", 21),
        (one, "119s", 6),
        (one, "150s", 5),
        (f"{one}, {other}", "5m", 6),
    ):
        path = f"paths: [{{name: vip, host: 10.0.20.202, endpoints: [{endpoints}]}}]\n"
        assert warnings_of(tmp_path, f"{path}{QUIET}schedule: {{interval: {interval}}}") == [
            f"line 1, paths[0].endpoints[{endpoints.count(other)}].imprint: {count} refused recipients in 10 minutes "
            f"may be counted as spam: {IGNORED}"
        ]
        assert "ignoreip" in IGNORED
    path = f"paths: [{{name: vip, host: 10.0.20.202, endpoints: [{one}]}}]\n"
    assert warnings_of(tmp_path, f"{path}{QUIET}schedule: {{interval: 151s}}") == []


@pytest.mark.parametrize("count", [3, 4])
def test_so_many_logins_that_one_wrong_password_bans(tmp_path: Path, count: int) -> None:
    file = tmp_path / "password"
    file.write_text("pw\n")
    file.chmod(0o600)
    login = f"login: {{username: probe@example.org, password_file: {file}}}"
    ways = "".join(
        f"{{name: p{way}, host: 10.0.20.20{way}, tls: {{server_name: mail.example.org}}, endpoints: "
        f"[{{service: smtp}}, {{service: imaps, {login}}}]}}, "
        for way in range(count)
    )
    told = warnings_of(tmp_path, f"paths: [{ways}]\n{QUIET}schedule: {{max_sessions_per_minute: 3}}")
    ban = (
        "line 1, paths[3].endpoints[1].login: 4 endpoints log in at mail.example.org, so a wrong password may be "
        f"refused 5 times before tries are held back: {IGNORED}"
    )
    assert [one for one in told if "log in" in one] == [ban] * (count == 4)


def test_a_history_that_cannot_hold_what_the_schedule_makes(tmp_path: Path) -> None:
    """By the figures of docs/bench-history.md 5 endpoints that fail all the time are 670 MB, 6 are 804."""
    for count, size, interval in ((5, "800MB", "30s"), (14, "2GB", "30s"), (12, "800MB", "61s")):
        assert warnings_of(tmp_path, f"{_many(count)}{_kept(size)}schedule: {{interval: {interval}}}") == []
    assert warnings_of(tmp_path, f"{_many(6)}{_kept('800MB')}") == [
        "line 3, history.size: 6 endpoints with a session in 30s each make 518,400 of 150 bytes in 30d, and 1,400 more "
        "for each of the last day and each that is not fine: 110MB while all is well, 810MB where nothing is, for a "
        "fault or for lack of evidence; beyond 800MB what pages show of fine sessions goes after an hour, then the "
        "oldest sessions go: size: 810MB, or retention: 29d, holds all"
    ]
    (told,) = warnings_of(tmp_path, f"{_many(900)}{_kept('2GB')}")
    assert ": 16GB while all is well, 130GB where nothing is, " in told
    assert told.endswith("sessions go: size: 130GB holds all")
    remedied = f"{_many(900)}{_kept('130GB')}"
    assert warnings_of(tmp_path, remedied) == []
    assert warnings_of(tmp_path, f"{_many(6)}{_kept('800MB', '29d')}") == []


def _many(count: int) -> str:
    paths = ", ".join(
        f"{{name: p{one}, host: mail{one}.example.org, endpoints: [{{service: imaps}}]}}" for one in range(count)
    )
    return f"paths: [{paths}]\n{QUIET}"


def _kept(size: str, retention: str = "30d") -> str:
    return f"history: {{size: {size}, retention: {retention}}}\n"
