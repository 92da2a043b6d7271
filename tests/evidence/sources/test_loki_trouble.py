"""A Loki that refuses, babbles, breaks off or keeps silent: said once with the next step, survived, tried again."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import struct
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from structlog.testing import capture_logs

from probe.evidence.sources.loki import LokiSource
from probe.evidence.sources.loki_client import Access
from probe.evidence.sources.loki_http import Bounds, Tls
from probe.evidence.sources.source import Source, State
from probe.model import Secret
from tests.evidence.sources.loki_reading import BRISK, POD, access, behind_tls, now, reading_loki, serving, swept
from tests.evidence.sources.reading import consuming
from tests.evidence.sources.scripted_loki import Answer

HALF_JSON = b'{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"mail"},"values":[["17'
HTML = "<!DOCTYPE html><html><body>Please log in</body></html>"


def answers(status: int = 200, *, body: bytes | str = b"", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, bytes) else body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=text, headers={"Content-Type": "text/plain", **named})

    return answer


def says(result: object, *, kind: str = "streams") -> bytes:
    import json  # noqa: PLC0415 - here alone

    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


async def drops_in_the_middle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(HALF_JSON)
    assert request.transport is not None
    request.transport.abort()
    return response


async def dribbles(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


async def never_answers(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def floods(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(50):
        await response.write(b" " * (1 << 20))
    return response


WRONG = {
    "429": (answers(429, body="too many outstanding requests", Retry_After="0"), "HTTP 429 (too many outstanding"),
    "500": (answers(500, body="empty ring"), "HTTP 500 (empty ring): Loki has trouble of its own"),
    "502 with a page": (answers(502, body=HTML), "HTTP 502: the proxy in front of Loki"),
    "503": (answers(503, body="Ingester not ready: waiting for 15s"), "/ready"),
    "504": (answers(504, body="request timed out"), "more selective"),
    "401": (answers(401, body="token expired"), "HTTP 401 (token expired): the credentials are refused"),
    "no tenant": (answers(401, body="no org id"), "set `tenant`"),
    "403": (answers(403), "HTTP 403: the credentials may not read these logs"),
    "404": (answers(404, body="404 page not found"), "without /loki/api/v1"),
    "418": (answers(418), "HTTP 418"),
    "redirect": (answers(302, Location="https://login.example.org/?next=x"), "HTTP 302: it sends elsewhere"),
    "bad LogQL": (answers(400, body="parse error at line 1, col 6: syntax error"), "(parse error at line 1, col 6"),
    "page": (answers(body=HTML, Content_Type="text/html"), "a web page"),
    "page that calls itself JSON": (answers(body=HTML, Content_Type="application/json"), "no complete JSON"),
    "half a JSON": (answers(body=HALF_JSON), "no complete JSON"),
    "nothing": (answers(), "no complete JSON"),
    "not UTF-8": (answers(body=b"\xff\xfe{"), "no complete JSON"),
    "a nest": (answers(body=b"[" * 100_000), "no complete JSON"),
    "a number of a million digits": (answers(body=b"1" * 1_000_000), "no complete JSON"),
    "a list": (answers(body=b"[]"), "is no mapping"),
    "a status": (answers(body=b'{"status":"success"}'), "is no mapping"),
    "numbers": (answers(body=says([], kind="matrix")), "use a LogQL log query"),
    "streams of another kind": (answers(body=says({"a": 1})), "are no list"),
    "a line without a stamp": (answers(body=says([{"stream": {}, "values": [["x"]]}])), "no pair"),
    "a stamp of words": (answers(body=says([{"stream": {}, "values": [["now", "x"]]}])), "nanoseconds"),
    "a stamp beyond all time": (answers(body=says([{"stream": {}, "values": [["9" * 19, "x"]]}])), "nanoseconds"),
    "packed": (answers(body=gzip.compress(b"{}"), Content_Encoding="gzip"), "no complete JSON"),
    "broken off": (drops_in_the_middle, "broke off"),
    "slow": (dribbles, "did not answer in time"),
    "silent": (never_answers, "did not answer in time"),
    "endless": (floods, "more than 16 MiB"),
}
WAITED_FOR = ("slow", "silent")


@contextmanager
def warnings() -> Iterator[list[str]]:
    """The reasons a person is told."""
    with capture_logs() as said:
        reasons: list[str] = []
        yield reasons
        reasons += [str(entry["reason"]) for entry in said if entry["log_level"] == "warning"]


@pytest.mark.parametrize("wrong", WRONG)
async def test_it_is_said_once_and_the_lines_come_afterwards(wrong: str) -> None:
    answer, reason = WRONG[wrong]
    patience = replace(BRISK, refused=60.0, bounds=Bounds(connect=1.0, answer=0.4 if wrong in WAITED_FOR else 20.0))
    async with serving(tails=False) as loki:
        with warnings() as said:
            async with reading_loki(loki, patience) as consumer:
                loki.script.extend([answer] * (6 if wrong == "endless" else 3))
                await consumer.until(lambda: reason in consumer.source.health.reason)
                assert consumer.state() is State.FAILED
                assert loki.url in consumer.source.health.reason
                loki.push(POD, [(now(), "meanwhile")])
                await consumer.until(lambda: not loki.script)
                await consumer.until(lambda: consumer.lines == [b"meanwhile\n"])
                await consumer.until(lambda: consumer.state() is State.FOLLOWING)
                # The same again is not said again.
                loki.script.extend([answer] * (6 if wrong == "endless" else 1))
                await consumer.until(lambda: not loki.script)
                await consumer.until(lambda: consumer.state() is State.FOLLOWING)
                assert consumer.source.health.gaps == 0
        assert [one for one in said if reason in one] == [one for one in said if "websocket" not in one]
        assert len([one for one in said if reason in one]) == 1
        assert all("\n" not in one and len(one) < 500 for one in said)


async def echoes(request: web.Request) -> web.StreamResponse:
    """A gateway that shows what it was asked, in a page, in a tail's farewell or where a status line should be."""
    told = f"denied: Authorization: {request.headers['Authorization']}; {request.headers['Authorization'].split()[1]}"
    if request.path.endswith("/tail"):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=1008, message=told[:120].encode())
        return socket
    return web.Response(status=403, text="x" * 120 + " " + told)


async def babbles(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(f"HTTP/1.1 4xx {request.headers['Authorization']}\r\n\r\n".encode())
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize("answer", [echoes, babbles])
@pytest.mark.parametrize("how", ["token", "password"])
async def test_credentials_that_come_back_are_not_shown(tmp_path: Path, answer: Answer, how: str) -> None:
    secret, shown = "s3cr3t-s3cr3t-s3cr3t", b64encode(b"probe:s3cr3t-s3cr3t-s3cr3t").decode()
    (tmp_path / "token").write_text(secret)
    by_token: dict[str, Any] = {"bearer_token_file": tmp_path / "token"}
    by_name: dict[str, Any] = {"username": "probe", "password": Secret(secret)}
    with warnings() as said:
        async with serving() as loki:
            loki.tail_script.append(answer)
            async with reading_loki(loki, **(by_token if how == "token" else by_name)) as consumer:
                await consumer.until(lambda: loki.tails_opened == 1)
                loki.script.append(answer)
                await consumer.until(lambda: consumer.state() is State.FAILED)
                reason = consumer.source.health.reason
    said.append(reason)
    assert "****" in reason
    assert len(said) >= 3  # the tail's, the query's, and what health says
    assert all("s3cr3t" not in one and shown[:10] not in one for one in said)


async def test_retry_after_is_honoured() -> None:
    async with serving(tails=False) as loki, reading_loki(loki) as consumer:
        loki.script.append(answers(429, Retry_After="1"))
        await consumer.until(lambda: consumer.state() is State.FAILED)
        asked, since = len(loki.queries), time.monotonic()
        await consumer.until(lambda: len(loki.queries) > asked)
        assert time.monotonic() - since > 0.9


async def test_loki_is_not_there_at_the_start_and_old_lines_stay_old() -> None:
    """Whatever is stamped before the start is old, and that there was nothing to go by is a gap."""
    async with serving() as loki:
        await loki.kill()
        source = LokiSource(access(loki), clock=time.time, patience=BRISK)
        with warnings() as said:
            async with consuming(source) as consumer:
                assert source.health.state is State.FAILED
                assert "cannot be reached (" in source.health.reason
                started = now()
                await asyncio.sleep(1.1)  # Loki's clock is known to the second
                await loki.serve()
                loki.push(POD, [(started - 2_000_000_000, "before"), (now(), "after")])
                await consumer.until(lambda: consumer.lines == [b"after\n"])
                await swept(loki, consumer)
                assert consumer.lines == [b"after\n"]
                assert source.health.gaps == 1
        assert len(said) == 2


async def test_what_a_tail_looks_back_at_after_a_late_start_stays_old() -> None:
    async with serving() as loki:
        await loki.kill()
        before = now()
        async with reading_loki(loki) as consumer:
            await loki.serve()
            loki.push(POD, [(before, "before")])
            await consumer.until(lambda: loki.tails_opened == 1)
            await swept(loki, consumer)
            assert consumer.lines == []


async def test_a_start_is_bounded() -> None:
    async with serving() as loki:
        loki.script.append(dribbles)
        source = LokiSource(access(loki), clock=time.time, patience=replace(BRISK, start=0.2))
        since = time.monotonic()
        await source.start()
        assert time.monotonic() - since < 1
        assert (source.health.state, "in time" in source.health.reason) == (State.FAILED, True)
        await source.close()


async def test_close_ends_a_question_nobody_answers() -> None:
    async with serving() as loki, reading_loki(loki) as consumer:
        loki.script.append(never_answers)
        await consumer.until(lambda: not loki.script)
        since = time.monotonic()
        await consumer.source.close()
        assert time.monotonic() - since < 0.5


async def test_a_query_that_matches_nothing_is_said_once_and_its_first_line_still_counts() -> None:
    async with serving() as loki:
        loki.push({"app": "another"}, [(now(), "another's")])
        with warnings() as said:
            async with reading_loki(loki) as consumer:
                await consumer.until(lambda: consumer.state() is State.WAITING)
                assert "matches no line of the last hour" in consumer.source.health.reason
                await swept(loki, consumer)
                loki.push(POD, [(now(), "first")])
                await consumer.receives(b"first\n")
                await consumer.until(lambda: consumer.state() is State.FOLLOWING)
        assert len(said) == 1


# The tail


def frames(*texts: str | bytes, then: str = "close") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        for text in texts:
            await (socket.send_str(text) if isinstance(text, str) else socket.send_bytes(text))
        assert request.transport is not None
        match then:
            case "close":
                await socket.close()
            case "abort":
                request.transport.abort()
            case "half a frame":
                request.transport.write(b"\x81\x7f" + struct.pack("!Q", 1000) + b'{"streams":')
                await asyncio.sleep(0.05)
                request.transport.abort()
            case "silence":
                await asyncio.Event().wait()
        return socket

    return answer


async def huge_frame(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    assert request.transport is not None
    request.transport.write(b"\x81\x7f" + struct.pack("!Q", 50 << 20))
    for _ in range(50):
        request.transport.write(b" " * (1 << 20))
        await asyncio.sleep(0.001)
    return socket


async def too_many_tails(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    said = "rpc error: code = Code(400) desc = max concurrent tail requests limit exceeded, count > limit (11 > 10)"
    await socket.close(code=1011, message=said.encode())
    return socket


TAILS = {
    "a proxy that does not upgrade": (answers(404), "does not open a websocket (HTTP 404)"),
    "a page instead": (answers(200, body=HTML), "does not open a websocket (HTTP 200)"),
    "no answer": (never_answers, "did not answer in time"),
    "too many tails": (too_many_tails, "max concurrent tail requests limit exceeded, count > limit (11 > 10)"),
    "closed": (frames(), "Loki's tail broke"),
    "reset": (frames(then="abort"), "Loki's tail broke"),
    "reset in the middle of a frame": (frames(then="half a frame"), "Loki's tail broke"),
    "half a JSON": (frames('{"streams":['), "is not understood"),
    "bytes": (frames(b"\xff\x00"), "is not understood"),
    "a stamp of words": (frames('{"streams":[{"stream":{},"values":[["now","x"]]}]}'), "is not understood"),
    "50 MiB": (huge_frame, "more than 4 MiB"),
}


@pytest.mark.parametrize("wrong", TAILS)
async def test_a_tail_that_does_not_work_is_said_once_and_queries_do(wrong: str) -> None:
    answer, reason = TAILS[wrong]
    async with serving() as loki:
        loki.tail_script.extend([answer] * 2)
        patience = replace(BRISK, refused=0.02, bounds=Bounds(connect=0.2, answer=2.0, silence=0.2))
        with warnings() as said:
            async with reading_loki(loki, patience) as consumer:
                await consumer.until(lambda: len(loki.tail_script) < 2)
                loki.push(POD, [(now(), "meanwhile")])
                await consumer.until(lambda: consumer.lines == [b"meanwhile\n"])
                assert consumer.state() is State.FOLLOWING
                await consumer.until(lambda: loki.tails_opened > 0)
                loki.push(POD, [(now(), "afterwards")])
                await consumer.receives(b"meanwhile\n", b"afterwards\n")
        assert len(said) == 1
        assert reason in said[0]
        assert "meanwhile lines are asked for every" in said[0]


async def test_a_tail_whose_other_side_is_gone_without_a_word_is_given_up() -> None:
    """No frame, no answer to a ping, and no end: what a vanished proxy leaves."""
    async with serving() as loki:
        loki.tail_script.append(frames(then="silence"))
        async with reading_loki(loki, replace(BRISK, bounds=Bounds(silence=0.3))) as consumer:
            await consumer.until(lambda: loki.tails_opened == 1)
            loki.push(POD, [(now(), "a")])
            await consumer.receives(b"a\n")


@pytest.mark.parametrize("fault", ["frame", "answer"])
async def test_50_mib_are_not_held(fault: str) -> None:
    async with serving() as loki, reading_loki(loki) as consumer:
        await consumer.until(lambda: loki.tails_opened == 1)
        tracemalloc.start()
        if fault == "frame":
            loki.tail_script.append(huge_frame)
            loki.end_tails()
        else:
            loki.script.extend([floods] * 6)
        await consumer.until(lambda: not loki.tail_script and not loki.script)
        await swept(loki, consumer)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # What the scripted Loki is about to send is held in this process, too.
        assert peak < (64 << 20 if fault == "frame" else 48 << 20)


# As whom


async def test_tenant_and_basic_credentials_are_sent_with_queries_and_tails() -> None:
    async with serving() as loki:
        loki.tenant, loki.authorization = "mail", "Basic cHJvYmU6czNjcmV0"
        who: dict[str, Any] = {"tenant": "mail", "username": "probe", "password": Secret("s3cret")}
        async with reading_loki(loki, **who) as consumer:
            await consumer.until(lambda: loki.tails_opened == 1)
            loki.push(POD, [(now(), "a")])
            await consumer.receives(b"a\n")
        async with reading_loki(loki, **{**who, "tenant": None}) as consumer:
            await consumer.until(lambda: "set `tenant`" in consumer.source.health.reason)
        async with reading_loki(loki, **{**who, "password": Secret("wr0ng")}) as consumer:
            await consumer.until(lambda: "HTTP 401" in consumer.source.health.reason)
            assert "wr0ng" not in consumer.source.health.reason


async def test_a_token_renewed_in_its_file_is_used_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with serving(tails=False) as loki:
        loki.authorization = "Bearer first"
        token.write_text("first\n")
        async with reading_loki(loki, replace(BRISK, quiet=60.0), bearer_token_file=token) as consumer:
            await swept(loki, consumer)
            assert consumer.state() is State.FOLLOWING
            loki.authorization = "Bearer second"
            await consumer.until(lambda: "token may have expired" in consumer.source.health.reason)
            loki.push(POD, [(now(), "a")])
            token.write_text("second\n")
            await consumer.receives(b"a\n")
            for content, reason in (("", "holds no token"), ("a\nb", "holds no token"), ("ü", "no ASCII")):
                token.write_text(content)
                await consumer.until(lambda reason=reason: reason in consumer.source.health.reason)  # type: ignore[misc]
                token.write_text("second")
                await consumer.until(lambda: consumer.state() is State.FOLLOWING)
            token.unlink()
            await consumer.until(lambda: "No such file" in consumer.source.health.reason)


async def test_certificates_are_checked_as_configured(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("loki.lab.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue_cert("probe.lab.test")
    ca_file, other, mine, key = (tmp_path / name for name in ("ca.pem", "other.pem", "mine.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca_file)
    stranger.cert_pem.write_to_path(other)
    own.cert_chain_pems[0].write_to_path(mine)
    own.private_key_pem.write_to_path(key)
    pair: dict[str, Any] = {"certificate_file": mine, "key_file": key}
    rows = [
        (Tls(ca_file=ca_file, server_name="loki.lab.test", **pair), ""),
        (Tls(verify=False, **pair), ""),
        (Tls(ca_file=other, server_name="loki.lab.test", **pair), "set tls.ca_file"),
        (Tls(ca_file=ca_file, **pair), "set tls.ca_file, or tls.server_name"),
        (Tls(ca_file=ca_file, server_name="loki.lab.test"), "cannot be reached"),
        (Tls(ca_file=tmp_path / "none.pem"), "No such file or directory): check ca_file"),
    ]
    async with serving() as loki, behind_tls(loki, context) as port:
        for tls, reason in rows:
            way = Access(url=f"https://127.0.0.1:{port}", query='{app="mail"}', tls=tls)
            async with consuming(LokiSource(way, clock=time.time, patience=BRISK)) as consumer:
                assert reason in consumer.source.health.reason
                assert bool(reason) is (consumer.state() is State.FAILED)
                if not reason:
                    await consumer.until(lambda: len(loki.tails) == 1)
                    loki.push(POD, [(now(), f"{tls.verify}")])
                    await consumer.receives(f"{tls.verify}\n".encode())
            await consumer.until(lambda: not loki.tails)


@pytest.mark.parametrize("wrong", ["authority", "pair"])
async def test_a_certificate_that_is_renewed_in_its_file_counts_at_once(tmp_path: Path, wrong: str) -> None:
    """A source that was refused by it, and one that would be with its next connection: nobody reloads for that."""
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca_file, pair = tmp_path / "ca.pem", tmp_path / "pair.pem"

    def renew(by: trustme.CA, which: str) -> None:
        if which == "authority":
            by.cert_pem.write_to_path(ca_file)
        else:
            by.issue_cert("probe.lab.test").private_key_and_cert_chain_pem.write_to_path(pair)

    renew(authority, "authority")
    renew(authority, "pair")
    renew(stranger, wrong)
    async with serving() as loki, behind_tls(loki, context) as port:
        tls = Tls(ca_file=ca_file, certificate_file=pair)
        way = Access(url=f"https://127.0.0.1:{port}", query='{app="mail"}', tls=tls)
        async with consuming(LokiSource(way, clock=time.time, patience=BRISK)) as consumer:
            await consumer.until(lambda: consumer.state() is State.FAILED)
            renew(authority, wrong)
            await consumer.until(lambda: consumer.state() is State.FOLLOWING)


async def test_other_sources_go_on(tmp_path: Path) -> None:
    """Trouble never reaches who follows."""
    from probe.service.watch import Watch  # noqa: PLC0415 - one floor up

    log = tmp_path / "mail.log"
    log.touch()
    from probe.evidence.sources.file import FileSource  # noqa: PLC0415

    async with serving() as loki:
        loki.script.extend([answers(500)] * 1000)
        sources: list[Source] = [
            LokiSource(access(loki), clock=time.time, patience=BRISK),
            FileSource(log, clock=time.time),
        ]
        async with Watch(sources, time.time) as watch:
            log.write_bytes(b"Nov 22 18:29:06 mail postfix/smtpd[1]: connect from unknown[192.0.2.1]\n")
            async with asyncio.timeout(5):
                while not watch.since(0.0):
                    await watch.news(1)
        assert [seen.source for seen in watch.since(0.0)] == [f"file:{log}"]
