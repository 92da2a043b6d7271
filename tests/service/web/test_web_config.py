"""The web-config file: as Prometheus's toolkit has it, read again by itself, and never half taken."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme
from aiohttp.client_exceptions import ClientError

from probe.model import EndpointName
from probe.service.station import Asked
from probe.service.web.connection import Patience
from probe.service.web.web_config import read_web_config
from probe.service.web.web_tls import allowed
from probe.settings import ConfigurationError
from tests.service.web.serving import SOON, Client, serving
from tests.service.web.stage import SETTINGS, Scripted, session_of, settings_of

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def hashed(password: str, *, prefix: bytes = b"2y") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).replace(b"2b", prefix, 1).decode()


def certified(directory: Path, authority: trustme.CA = AUTHORITY, name: str = "127.0.0.1") -> None:
    """server.pem, server.key and ca.pem of a directory."""
    made = authority.issue_cert(name)
    made.private_key_pem.write_to_path(directory / "server.key")
    for index, one in enumerate(made.cert_chain_pems):
        one.write_to_path(directory / "server.pem", append=index > 0)
    authority.cert_pem.write_to_path(directory / "ca.pem")


def with_web(directory: Path, text: str) -> Scripted:
    """A station whose configuration names a web-config file of this text."""
    (directory / "web.yaml").write_text(text, encoding="utf-8")
    settings = SETTINGS.replace('"127.0.0.1:0"', f'"127.0.0.1:0", config_file: {directory / "web.yaml"}')
    return Scripted(settings_of(directory, settings))


def trusting(client_certificate: trustme.LeafCert | None = None, authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client_certificate is not None:
        client_certificate.configure_cert(context)
    return context


TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
async def test_every_fault_is_told_at_once_and_nothing_is_served(tmp_path: Path, file: Path) -> None:
    bad, expected = (one.read_text(encoding="utf-8") for one in (file, file.with_suffix(".txt")))
    certified(tmp_path)
    STRANGER.issue_cert("x").private_key_pem.write_to_path(tmp_path / "other.key")
    station = with_web(tmp_path, bad)
    with pytest.raises(ConfigurationError) as raised:
        async with serving(station):
            pass
    told = str(raised.value).replace(f"{tmp_path}/", "")
    assert f"{told}\n" == expected
    assert "swordfish" not in told


def test_what_the_toolkit_s_sample_says_is_read(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(
        'tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_auth_type: "NoClientCert"\n'
        "  min_version: TLS10\n  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n"
        "  curve_preferences: [X25519, CurveP256]\n  prefer_server_cipher_suites: no\n"
        "http_server_config: {http2: true, headers: {Strict-Transport-Security: max-age=1, X-Frame-Options: ''}}\n"
        f"basic_auth_users: {{alice: '{hashed('a')}'}}\nrate_limit: {{interval: 1m30s, burst: 5}}\n",
        encoding="utf-8",
    )
    read, faults = read_web_config(tmp_path / "web.yaml")
    assert faults == ()
    assert read.tls is not None
    assert read.tls.files == (tmp_path / "server.crt", tmp_path / "server.key")
    assert read.tls.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256",)
    assert read.tls.prefer_server_ciphers is False
    assert read.headers == {"Strict-Transport-Security": "max-age=1", "X-Frame-Options": ""}
    assert read.rate == (90.0, 5)
    assert [warning.partition(":")[0] for warning in read.warnings] == [
        "tls_server_config.min_version",
        "tls_server_config.curve_preferences",
    ]


async def test_tls_by_files_and_by_text_in_the_file(tmp_path: Path) -> None:
    certified(tmp_path)
    indented = {kind: (tmp_path / f"server.{kind}").read_text().replace("\n", "\n    ") for kind in ("pem", "key")}
    inline = f"tls_server_config:\n  cert: |\n    {indented['pem']}\n  key: |\n    {indented['key']}\n"
    for text in (TLS, inline):
        async with serving(with_web(tmp_path, text), scheme="https") as client:
            assert (await client.get("/-/healthy", ssl=trusting())).status == 200
            with pytest.raises(ClientError):
                await client.get("/-/healthy", ssl=trusting(authority=STRANGER))
            assert b"healthy" not in await client.raw(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def test_patience_is_the_same_behind_tls(tmp_path: Path) -> None:
    """Who never shakes hands is hung up on; who waits for an answer is not."""

    async def answer(name: EndpointName, seconds: float) -> Asked:
        await asyncio.sleep(0.6)  # the time itself is what is tested
        return Asked(result=session_of(name, station.clock()))

    certified(tmp_path)
    station = with_web(tmp_path, TLS)
    station.answers = answer
    hasty = Patience(head=0.3, idle=0.3, handshake=0.3)
    async with serving(station, scheme="https", patience=hasty) as client:
        assert await client.raw(b"") == b""
        assert (await client.get("/probe?path=vip&service=smtp", ssl=trusting())).status == 200


async def test_an_older_tls_than_allowed_is_not_spoken(tmp_path: Path) -> None:
    certified(tmp_path)
    old = trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(with_web(tmp_path, TLS.replace("}", ", min_version: TLS13}")), scheme="https") as client:
        assert (await client.get("/-/healthy", ssl=trusting())).status == 200
        with pytest.raises(ClientError):
            await client.get("/-/healthy", ssl=old)


async def test_client_certificates_and_their_names(tmp_path: Path) -> None:
    certified(tmp_path)
    text = TLS.replace(
        "}",
        ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, "
        "client_allowed_sans: [prometheus.example.org]}",
    )
    async with serving(with_web(tmp_path, text), scheme="https") as client:
        known, other = AUTHORITY.issue_cert("prometheus.example.org"), AUTHORITY.issue_cert("other.example.org")
        assert (await client.get("/-/healthy", ssl=trusting(known))).status == 200
        assert (await client.get("/-/healthy", ssl=trusting(other))).status == 403
        for context in (trusting(), trusting(STRANGER.issue_cert("prometheus.example.org"))):
            with pytest.raises(ClientError):
                await client.get("/-/healthy", ssl=context)


def test_a_name_is_one_of_the_alternative_names_exactly() -> None:
    certificate = {"subjectAltName": (("DNS", "a.example.org"), ("IP Address", "192.0.2.1"))}
    assert allowed(certificate, ["192.0.2.1"])
    assert not allowed(certificate, ["example.org"])
    assert not allowed(None, ["a.example.org"])
    assert not allowed(certificate, [])


async def fingerprint(address: tuple[str, int]) -> bytes:
    """Which certificate serves a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*address, ssl=context)
    told: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return told


async def test_a_renewed_certificate_serves_the_next_client(tmp_path: Path) -> None:
    certified(tmp_path)
    async with serving(with_web(tmp_path, TLS), scheme="https") as client:
        first = await fingerprint(client.address)
        assert await fingerprint(client.address) == first
        certified(tmp_path)
        second = await fingerprint(client.address)
        assert second != first
        assert (await client.get("/-/healthy", ssl=trusting())).status == 200


async def test_a_bad_new_file_keeps_the_old_one_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(tmp_path)
    good = TLS + f"basic_auth_users: {{alice: '{hashed('secret')}'}}\n"
    station = with_web(tmp_path, good)
    alice = basic(b"alice:secret")
    async with serving(station, scheme="https") as client:
        (tmp_path / "web.yaml").write_text(
            "tls_server_config: {cert_file: gone.pem, key_file: server.key}\n", encoding="utf-8"
        )
        assert (await client.get("/", ssl=trusting())).status == 401
        page = await client.get("/", ssl=trusting(), headers=alice)
        assert "The web-config file was not taken, the one before it goes on" in page.text
        assert "gone.pem: No such file or directory" in page.text
        reload = await client.ask("POST", "/-/reload", ssl=trusting(), headers=alice)
        assert reload.status == 500
        assert "gone.pem" in reload.text
        assert capsys.readouterr().err.count("the web-config file was not taken") == 1
        assert await troubles(client) == 1
        (tmp_path / "gone.pem").write_bytes((tmp_path / "server.pem").read_bytes())
        page = await client.get("/", ssl=trusting())  # mended without a word, and it has no users
        assert page.status == 200
        assert "was not taken" not in page.text
        assert await troubles(client) == 0


async def troubles(client: Client) -> float:
    """What the metric says, to somebody whom the file of before knows."""
    page = await client.get("/metrics", ssl=trusting(), headers=basic(b"alice:secret"))
    found = re.search(r"^mailprobe_troubles\{[^}]*\} (\S+)$", page.text, re.M)
    assert found
    return float(found[1])


async def test_tls_and_users_begin_with_the_file(tmp_path: Path) -> None:
    certified(tmp_path)
    station = with_web(tmp_path, "")
    async with serving(station) as client:
        assert (await client.get("/-/healthy")).status == 200
        (tmp_path / "web.yaml").write_text(TLS, encoding="utf-8")
        assert (await client.get("/-/healthy")).status == 403  # on the connection that was kept
        async with (
            aiohttp.ClientSession() as fresh,
            fresh.get(f"https://127.0.0.1:{client.address[1]}/-/healthy", ssl=trusting()) as answer,
        ):
            assert answer.status == 200


async def test_headers_of_the_file(tmp_path: Path) -> None:
    text = (
        "http_server_config: {headers: {Strict-Transport-Security: max-age=9, X-Frame-Options: '', "
        "Content-Security-Policy: \"default-src 'self'\"}}\n"
    )
    async with serving(with_web(tmp_path, text)) as client:
        headers = (await client.get("/")).headers
    assert headers["Strict-Transport-Security"] == "max-age=9"
    assert headers["Content-Security-Policy"] == "default-src 'self'"
    assert "X-Frame-Options" not in headers


def basic(login: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(login).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (basic(b"alice:opens\xc3\xa9same"), 200),
        (basic(b"bob:" + b"x" * 80), 200),
        ({"Authorization": basic(b"bob:" + b"x" * 80)["Authorization"].replace("Basic", "bAsIc")}, 200),
        (basic(b"alice:opensesame"), 401),
        (basic(b"alice:"), 401),
        (basic(b"alice"), 401),
        (basic(b":opensesame"), 401),
        (basic(b"mallory:opensesame"), 401),
        (basic(b"alice:\x00"), 401),
        (basic(b"\xff\xfe:x"), 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Bearer token"}, 401),
        ({}, 401),
    ],
)
async def test_users_and_their_passwords(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    users = f"basic_auth_users: {{alice: '{hashed('opensésame')}', bob: '{hashed('x' * 72, prefix=b'2a')}'}}\n"
    async with serving(with_web(tmp_path, users)) as client:
        for _ in range(2):  # the second time out of memory
            answer = await client.get("/api/v1/sessions", headers=headers)
            assert answer.status == status
            assert ("WWW-Authenticate" in answer.headers) is (status == 401)


async def test_failed_logins_are_told_without_the_name_and_not_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = with_web(tmp_path, f"basic_auth_users: {{alice: '{hashed('a')}'}}\n")
    told = ""
    async with serving(station, patience=Patience(telling=1.0)) as client:
        for _ in range(5):
            await client.get("/", headers=basic(b"my-password-in-the-wrong-field:x"))
        async with asyncio.timeout(10 * SOON):
            while len(numbers(told)) < 2:  # nobody fails any more
                await asyncio.sleep(0.01)
                told += capsys.readouterr().err
        await client.get("/", headers=basic(b"my-password-in-the-wrong-field:x"))
    told += capsys.readouterr().err
    assert numbers(told)[:2] == [1, 4]
    assert sum(numbers(told)) == 6
    assert "my-password" not in told


def numbers(told: str) -> list[int]:
    """Of failed logins, as the log has them."""
    return [int(one) for one in re.findall(r"failed_since_last_told\S*?=\S*?(\d+)(?:\x1b|\s)", told)]


async def test_the_rate_limit_of_the_file(tmp_path: Path) -> None:
    now = [0.0]
    station = with_web(tmp_path, "rate_limit: {interval: 1s, burst: 3}\n")
    async with serving(station, monotonic=lambda: now[0]) as client:
        assert [(await client.get("/-/healthy")).status for _ in range(4)] == [200, 200, 200, 429]
        now[0] = 1.0
        assert [(await client.get("/-/healthy")).status for _ in range(2)] == [200, 429]


async def test_a_crowd_of_wrong_passwords_keeps_nobody_out_who_is_known(tmp_path: Path) -> None:
    users = f"basic_auth_users: {{alice: '{bcrypt.hashpw(b'a', bcrypt.gensalt(9)).decode()}'}}\n"
    async with serving(with_web(tmp_path, users)) as client:
        assert (await client.get("/-/healthy", headers=basic(b"alice:a"))).status == 200
        async with asyncio.TaskGroup() as group:
            crowd = [
                group.create_task(client.get("/-/healthy", headers=basic(b"alice:%d" % number))) for number in range(60)
            ]
            assert (await client.get("/-/healthy", headers=basic(b"alice:a"))).status == 200
        outcomes = {task.result().status for task in crowd}
    assert outcomes == {401, 503}


async def test_where_a_user_is_asked_for_any_name_will_do(tmp_path: Path) -> None:
    """Another site may have our name (test_no_site_can_lend_its_name_to_loopback), but not our password."""
    async with serving(with_web(tmp_path, f"basic_auth_users: {{somebody: '{hashed('word')}'}}\n")) as client:
        headers = {"Host": "mail.example.org"}
        assert (await client.get("/-/healthy", headers=headers)).status == 401
        login = base64.b64encode(b"somebody:word").decode()
        headers["Authorization"] = f"Basic {login}"
        assert (await client.get("/-/healthy", headers=headers)).status == 200


@pytest.mark.parametrize("expect", ["miracles", "100-continue"])
@pytest.mark.parametrize("what", ["POST /-/reload", "POST /nowhere", "PUT /metrics", "OPTIONS *"])
async def test_whatever_a_client_expects_it_gets_past_no_guard(tmp_path: Path, what: str, expect: str) -> None:
    """aiohttp answers an Expect itself, before any handler, and where there is none too."""
    head = f"{what} HTTP/1.1\r\nHost: localhost\r\nexpect: {expect}\r\nConnection: close\r\n\r\n".encode()
    async with serving(with_web(tmp_path, f"basic_auth_users: {{alice: '{hashed('a')}'}}\n")) as client:
        answer = await client.raw(head)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nServer: mailprobe\r\n" in answer
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
    assert b"aiohttp" not in answer
