"""What strangers get out of a running daemon: no secret, no session to elsewhere, and no way to stop it."""

from __future__ import annotations

import asyncio
import base64
import re
import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import bcrypt
import pytest

from probe.demo.world import DemoWorld, demo_world
from tests.service.running import Running, free_port, running, until

USER, WEB_PASSWORD = "prometheus", "web-$ecret/of the page"
HASH = bcrypt.hashpw(WEB_PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as world:
        yield world


def hiding(one: Running, world: DemoWorld) -> Mapping[str, str]:
    """Put a secret into every place of the configuration that takes one; they by what they are."""
    dead = f"http://127.0.0.1:{free_port()}/${{URL}}"
    secrets = {
        "right password": world.house.account[1],
        "wrong password": "Wr0ng/pass+word of imaps",
        "loki password": "loki-pa55 with blanks",
        "loki token": "t0ken.of.the.sink",
        "web password": WEB_PASSWORD,
        "web hash": HASH,
        "what was typed": "typed-into-the-wrong-field",
        "part of a url": "s3gment-of-a-url",
        "tenant": "ten4nt-that-nobody-knows",
        "label of a query": "l4bel-of-a-query",
        "part of a path": "f0lder-of-a-log",
    }
    user, folder = world.house.account[0], one.folder
    for name in ("right password", "wrong password", "loki token"):
        (folder / name.replace(" ", "-")).write_text(secrets[name] + "\n")
    (folder / "web.yaml").write_text(f"basic_auth_users: {{{USER}: '{HASH}'}}\n")
    (path,) = one.content["paths"]
    for endpoint in path["endpoints"]:
        kind = "wrong-password" if endpoint["service"] == "imaps" else "right-password"
        if endpoint["service"] != "smtp":
            endpoint["login"] = {"username": user, "password_file": str(folder / kind)}
    loki = {"kind": "loki", "url": dead, "query": '{a="${QUERY}"}', "username": "probe", "password": "${LOKI}"}
    log = {"kind": "file", "path": f"{folder}/${{PATH_OF}}/mail.log"}
    variables = {"LOKI": "loki password", "URL": "part of a url", "TENANT": "tenant", "QUERY": "label of a query"}
    variables |= {"PATH_OF": "part of a path"}
    one.environment = {name: secrets[secret] for name, secret in variables.items()}
    one.write(
        web={**one.content["web"], "config_file": str(folder / "web.yaml")},
        evidence={"sources": [*one.content["evidence"]["sources"], {**loki, "tenant": "${TENANT}"}, log]},
        dovecot_metrics={"url": f"{dead}/metrics"},
        sink={"kind": "loki", "url": dead, "tenant": "${TENANT}", "bearer_token_file": str(folder / "loki-token")},
    )
    return secrets


def forms(secret: str) -> Iterator[bytes]:
    """In which a secret might be read."""
    yield secret.encode()
    yield quote(secret, safe="").encode()
    yield base64.b64encode(secret.encode()).rstrip(b"=")[:-1]
    yield secret.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&#34;").encode()


async def pages(one: Running) -> Mapping[str, bytes]:
    """Everything that can be read over HTTP, with errors of all kinds."""
    listed = (await one.get("/api/v1/sessions?limit=500"))[1]
    identities = dict.fromkeys(re.findall(r'"id": ?"(\w+)"', listed))
    assert len(identities) >= 4
    ways = ["/", "/config", "/metrics", "/api/v1/outages", "/nowhere", "/-/ready", "/probe?path=none", "/sessions/none"]
    ways += ["/probe?path=vip&debug=true", "/probe?path=vip", "/api/v1/sessions?verdict=none"]
    ways += [f"{where}/{identity}" for identity in identities for where in ("/sessions", "/api/v1/sessions")]
    found = {way: (await one.get(way))[1].encode() for way in ways}
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    return {**found, "OpenMetrics": (await one.get("/metrics", headers=accept))[1].encode()}


def written(history: Path) -> bytes:
    """All that the history holds, unpacked."""
    with closing(sqlite3.connect(f"file:{history}?mode=ro", uri=True)) as opened:
        packed = opened.execute("SELECT record FROM records").fetchall()
        rest = "\n".join(opened.iterdump()).encode()
    return rest + b"".join(zlib.decompress(record) for (record,) in packed)


async def test_no_secret_is_read_anywhere(world: DemoWorld, tmp_path: Path) -> None:
    async with running(world, tmp_path) as one:
        secrets = hiding(one, world)
        one.auth = (USER, WEB_PASSWORD)
        await one.start()
        await one.sees("login_failed", "imaps")
        await one.sees("preserved", "smtp", "submission", "submissions")
        await until(lambda: _tells(one, '"rule": "login-held"'), "a session that does not try again what was refused")
        (tmp_path / "broken.yaml").write_text(f"basic_auth_users: {{{USER}: '{HASH[:-1]}'}}\n")
        one.offer(web={**one.content["web"], "config_file": str(tmp_path / "broken.yaml")})
        assert "basic_auth_users" in await one.hang_up()
        one.offer(paths=secrets["right password"], sink={"bearer_token": secrets["loki token"]})
        assert await one.hang_up()
        assert refused(world) == 2, "what was not taken tries nothing"
        one.write()
        assert not await one.hang_up()
        await until(lambda: refused(world) == 3, "a login that is tried again after a reload")
        wrong = await one.get("/", auth=(secrets["what was typed"], secrets["what was typed"]))
        assert wrong[0] == 401
        told = await until(lambda: _names(one), "sources by name")
        assert any("${TENANT}@127.0.0.1" in name and '${URL} {a="${QUERY}"}' in name.replace("\\", "") for name in told)
        assert any("/${PATH_OF}/mail.log" in name for name in told)
        places = {**await pages(one), "wrong login": wrong[1].encode(), "log": one.said().encode()}
        assert b"a login to the web server failed" in places["log"]
        places["history"] = written(tmp_path / "history.db")
        assert b"login_failed" in places["history"]
    for name, secret in secrets.items():
        for form in forms(secret):
            assert [place for place, text in places.items() if form in text] == [], (name, form)


def refused(world: DemoWorld) -> int:
    """Logins that the server has counted, as a guard would."""
    return world.log_file.read_text().count("auth failed, 1 attempts")


async def _tells(one: Running, words: str) -> bool:
    return words in (await one.get("/api/v1/sessions?limit=500"))[1]


async def _names(one: Running) -> list[str]:
    return [name for name in await one.metrics() if name.startswith("mailprobe_evidence_source_up")]


async def test_only_what_is_configured_is_probed(world: DemoWorld, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as elsewhere, running(world, tmp_path) as one:
        port = elsewhere.sockets[0].getsockname()[1]
        await one.start()
        for target in (f"127.0.0.1:{port}", "127.0.0.1", f"[::ffff:127.0.0.1]:{port}", f"localhost:{port}"):
            status, text = await one.get("/probe", params={"target": target, "module": "smtp"})
            assert (status, "probe_success" in text) == (403, False), target
        host = one.content["paths"][0]["host"]
        status, text = await one.get(f"/probe?target={host}&module=smtp")
        assert (status, "\nprobe_success" in text) == (200, True)
    assert not reached.is_set()


async def test_slow_and_huge_requests_stop_nothing(world: DemoWorld, tmp_path: Path) -> None:
    async with running(world, tmp_path) as one:
        await one.start()
        await one.sees("preserved")
        host, port = one.content["web"]["listen"].split(":")
        before = _resident(one)
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(300)]
        for _, writer in slow:
            with suppress(ConnectionError):
                writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        _, huge = await asyncio.open_connection(host, int(port))
        with suppress(ConnectionError):
            huge.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for _ in range(100):
                huge.write(b"X-Huge: " + b"a" * (1 << 20))
                await huge.drain()
        assert (await one.get("/metrics"))[0] == 200
        await one.sees("preserved")
        assert _resident(one) - before < 48 << 10
        async with asyncio.timeout(30):
            await asyncio.gather(*(_read_to_the_end(reader) for reader, _ in slow))
        for _, writer in [*slow, (None, huge)]:
            writer.close()
        assert "bug" not in one.said()


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read(-1)


def _resident(one: Running) -> int:
    """KiB."""
    assert one.process is not None
    text = Path(f"/proc/{one.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0])
