"""What a sound file becomes."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from probe.model import AddressFamily, Endpoint, ImprintKind, Networks, ProxyHeader, Secret, Service
from probe.settings import ConfigurationError, FileSource, load, targets, timeouts
from probe.settings.values import Listen, ReplyMode
from tests.settings.good_folder import ENVIRONMENT, EXAMPLE, FOLDER, loaded

ALTERNATIVE = re.compile(r"^( *)#((?! )\S.*|(?<=  #)  +\S.*)$", re.MULTILINE)


def test_the_least_file_has_every_default_of_the_contract() -> None:
    settings = loaded("least")
    assert settings.vantage.name == "this-host"
    assert settings.vantage.addresses == ()
    path = settings.paths[0]
    assert (path.address_family, path.proxy_header, path.source_address) == (AddressFamily.ANY, ProxyHeader.NONE, None)
    assert (path.tls.server_name, path.tls.ca_file, path.tls.verify) == (None, None, True)
    schedule = settings.schedule
    assert (schedule.interval, schedule.jitter, schedule.max_sessions_per_minute) == (30.0, 0.1, 6)
    assert (settings.timeouts.connect, settings.timeouts.session, settings.timeouts.evidence) == (5.0, 30.0, 15.0)
    assert settings.checks.spoof is False
    assert settings.networks == Networks()
    assert (settings.evidence.sources, settings.evidence.reply) == ((), ReplyMode.AUTO)
    assert settings.dovecot_metrics is None
    assert settings.topology is None
    assert (settings.web.listen, settings.web.config_file) == (Listen("tcp", "127.0.0.1", 9797), None)
    assert settings.history.file == Path("/var/lib/mailprobe/history.db")
    assert settings.history.retention == 30 * 86400
    assert settings.history.size == 2 * 10**9
    assert settings.warnings == ()


def test_the_file_of_the_contract_becomes_domain_values() -> None:
    settings = loaded("contract")
    assert settings.vantage.addresses == (ip_network("192.168.1.10"),)
    assert [endpoint.port for endpoint in settings.paths[0].endpoints] == [25, 587, 465, 993]
    assert settings.paths[0].source_address == ip_address("192.168.1.10")
    assert settings.networks.nodes == (ip_network("10.0.20.101"), ip_network("10.0.20.102"))
    assert settings.networks.gateways == (ip_network("10.0.20.1"),)
    assert settings.evidence.sources[0] == FileSource(kind="file", path=Path("/var/log/mail.log"))
    assert settings.topology is not None
    assert settings.topology.nodes["k8s-node2"] == (ip_address("10.0.20.102"),)


def test_the_example_loads_without_a_warning() -> None:
    settings = load(EXAMPLE, environment={}, hostname="host")
    assert settings.warnings == ()
    assert {endpoint.service for endpoint in settings.paths[0].endpoints} == set(Service)


def test_every_alternative_of_the_example_is_sound_too(tmp_path: Path) -> None:
    """Takes the # from every line that is an alternative, and gives it the files that it names."""
    (tmp_path / "password").write_text("swordfish")
    text = ALTERNATIVE.sub(r"\1\2", EXAMPLE.read_text())
    text = text.replace("/run/secrets/mailprobe", f"{tmp_path}/password")
    text = re.sub("ca_file: .*", "ca_file: null", text)
    file = tmp_path / "all.yaml"
    file.write_text(text)
    environment = {"MAILPROBE_PASSWORD": "swordfish", "CREDENTIALS_DIRECTORY": "/run/credentials/mailprobe.service"}
    settings = load(file, environment=environment, hostname="host")
    assert [path.name for path in settings.paths] == ["vip", "node1", "behind-haproxy"]
    assert [endpoint.login is not None for endpoint in settings.paths[0].endpoints] == [False, True, True, True]
    assert {source.kind for source in settings.evidence.sources} == {"file", "kubernetes", "loki", "syslog", "journald"}
    assert settings.checks.spoof


def test_variables_are_values_and_never_yaml() -> None:
    settings = loaded("variables")
    assert settings.vantage.name == "probe: {1}"
    assert [path.name for path in settings.paths] == ["one ${NAME}", "two"]
    submission, imaps = settings.paths[0].endpoints
    assert submission.port == 2587
    assert submission.login is not None
    assert submission.login.password.reveal() == "open: {sesame} ${NAME}"
    assert imaps.login is not None
    assert imaps.login.password == Secret("xopen: {sesame} ${NAME}")
    assert settings.paths[0].tls.verify is False
    assert (settings.schedule.interval, settings.schedule.jitter) == (300.0, 0.25)
    assert settings.evidence.reply is ReplyMode.OFF
    assert settings.paths[1].endpoints == settings.paths[0].endpoints


def test_targets_speak_the_models_words() -> None:
    settings = loaded("contract")
    submission = targets(settings)[1]
    assert (submission.path, submission.service, submission.port) == ("vip", Service.SUBMISSION, 587)
    assert submission.imprint is ImprintKind.FINGERPRINT
    assert submission.login is not None
    assert submission.login.password.reveal() == "swordfish"
    assert submission.tls.server_name == "mail.example.org"
    assert submission.expected == settings.vantage.addresses
    assert submission.timeouts == timeouts(settings)


def test_nothing_shows_a_password() -> None:
    settings = loaded("contract")
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "swordfish" not in text


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        loaded("least").timeouts.connect = 1.0


EMPTY = ["networks:", "vantage:", "evidence: {sources: }", "web: ~", "timeouts: {connect: null}"]


@pytest.mark.parametrize("empty", EMPTY)
def test_a_key_without_a_value_is_no_key(tmp_path: Path, empty: str) -> None:
    file = tmp_path / "mailprobe.yaml"
    file.write_text((FOLDER / "least.yaml").read_text() + empty)
    assert load(file, environment=ENVIRONMENT, hostname="this-host") == loaded("least")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "mailprobe.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + (FOLDER / "least.yaml").read_bytes())
    assert load(file, environment=ENVIRONMENT, hostname="this-host") == loaded("least")


MAILBOX = "{service: imaps, login: {username: probe@example.org, password: '${PW}'}}"


def delivering(tmp_path: Path, endpoint: str, reader: str = MAILBOX) -> Endpoint:
    file = tmp_path / "mailprobe.yaml"
    file.write_text(f"paths: [{{name: vip, host: mail, endpoints: [{endpoint}, {reader}]}}]")
    return targets(load(file, environment={"PW": "swordfish"}, hostname="host"))[0]


def test_a_message_goes_to_the_mailbox_of_the_imaps_login(tmp_path: Path) -> None:
    mailbox = delivering(tmp_path, "{service: smtp, imprint: deliver}").mailbox
    assert mailbox is not None
    assert (mailbox.recipient, mailbox.sender) == ("probe@example.org", "probe+{token}@example.org")
    assert (mailbox.reader.service, mailbox.reader.port) == (Service.IMAPS, 993)


@pytest.mark.parametrize(
    ("given", "recipient", "sender"),
    [
        ("{recipient: box@example.net}", "box@example.net", "box+{token}@example.net"),
        ("{sender: ''}", "probe@example.org", ""),
        ("{sender: 'x-{token}@example.com'}", "probe@example.org", "x-{token}@example.com"),
    ],
)
def test_the_addresses_of_a_message_may_be_given(tmp_path: Path, given: str, recipient: str, sender: str) -> None:
    mailbox = delivering(tmp_path, f"{{service: smtp, imprint: deliver, deliver: {given}}}").mailbox
    assert mailbox is not None
    assert (mailbox.recipient, mailbox.sender) == (recipient, sender)


@pytest.mark.parametrize(
    ("endpoint", "reader", "expected"),
    [
        (
            "{service: smtp, imprint: deliver}",
            MAILBOX.replace("probe@example.org", "probe"),
            "paths[0].endpoints[0].deliver.recipient: the user name of the imaps login is no address",
        ),
        ("{service: smtp, deliver: {sender: ''}}", MAILBOX, "`deliver` only with imprint: deliver"),
        (
            "{service: smtp, imprint: deliver, deliver: {sender: '<x>'}}",
            MAILBOX,
            'a mail address, which may hold {token}, or "" for the null sender',
        ),
        (
            "{service: smtp, imprint: deliver, deliver: {recipient: 'x y@example.org'}}",
            MAILBOX,
            "a mail address, like probe@example.org",
        ),
    ],
)
def test_addresses_that_no_message_can_have(tmp_path: Path, endpoint: str, reader: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        delivering(tmp_path, endpoint, reader)
    assert [fault.expected for fault in caught.value.faults] == [expected]


def test_a_whoami_user_needs_no_password_and_reads_no_mailbox(tmp_path: Path) -> None:
    file = tmp_path / "mailprobe.yaml"
    asks = "{service: imaps, port: 1993, login: {username: whoami-probe}}"
    file.write_text(
        f"paths: [{{name: vip, host: mail, endpoints: [{{service: smtp, imprint: deliver}}, {asks}, {MAILBOX}]}}]"
    )
    deliver, whoami, _ = targets(load(file, environment={"PW": "swordfish"}, hostname="host"))
    assert whoami.login is not None
    assert whoami.login.is_whoami
    assert deliver.mailbox is not None
    assert deliver.mailbox.reader.port == 993


def test_a_whoami_user_only_asks_dovecot(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        delivering(tmp_path, "{service: submission, login: {username: whoami-probe}}")
    (fault,) = caught.value.faults
    assert fault.expected.startswith("another user: names that begin with whoami")
    with pytest.raises(ConfigurationError):
        delivering(tmp_path, "{service: smtp}", "{service: imaps, imprint: login, login: {username: whoami-probe}}")
