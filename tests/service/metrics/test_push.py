"""--push: to Debian's Pushgateway, and to servers that are none or do not behave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web

from probe.model import Round, Secret, Verdict
from probe.service.metrics import exposition, round_registry
from probe.service.metrics.gateway import Gateway, NoGateway, gateway_of
from probe.service.metrics.push import NotPushed, push
from tests.builders import result
from tests.service.metrics.programs import free_port, get_text, pushgateway, serving

PASSWORD = "pa/ss#w@rd:%41"


def text(*verdicts: Verdict, paths: tuple[str, ...] = ("vip",)) -> bytes:
    results = tuple(result(verdict, path=path) for verdict, path in zip(verdicts, paths, strict=True))
    return exposition(round_registry(Round(vantage="lan", started=100.0, seconds=1.0, results=results)), None)[0]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with pushgateway() as url:
        yield Gateway(url=url)


class TestPushgateway:
    @pytest.mark.parametrize("vantage", ["lan-probe", "LAN probe/1 ü", "..", "a+b%2F"])
    async def test_the_group_is_the_vantage_s_whatever_its_name(self, gateway: Gateway, vantage: str) -> None:
        done = Round(vantage=vantage, started=100.0, seconds=1.0, results=(result(Verdict.MASKED),))
        await push(gateway, vantage, exposition(round_registry(done), None)[0])
        page = await get_text(f"{gateway.url}/metrics")
        labels = f'instance="",job="mailprobe",path="vip",service="smtp",vantage="{vantage}"'
        assert f'mailprobe_verdict{{{labels},verdict="masked"}} 1' in page
        assert f'push_failure_time_seconds{{instance="",job="mailprobe",vantage="{vantage}"}} 0' in page

    async def test_what_was_pushed_before_goes(self, gateway: Gateway) -> None:
        """The whole metric too, where nothing is known any more, and not another vantage's."""
        await push(gateway, "lan", text(Verdict.PRESERVED, Verdict.MASKED, paths=("vip", "old")))
        await push(gateway, "wan", text(Verdict.MASKED).replace(b'"lan"', b'"wan"'))
        await push(gateway, "lan", text(Verdict.REFUSED))
        page = await get_text(f"{gateway.url}/metrics")
        assert 'path="old"' not in page
        known = [line for line in page.splitlines() if line.startswith("mailprobe_client_address_preserved{")]
        assert known == [
            'mailprobe_client_address_preserved{instance="",job="mailprobe",path="vip",service="smtp",vantage="wan"} 0'
        ]

    async def test_metrics_that_it_refuses(self, gateway: Gateway) -> None:
        with pytest.raises(NotPushed, match=r"refuses the metrics \(HTTP 400: .*\): see whether something else pushes"):
            await push(gateway, "lan", b"no metrics\n")

    async def test_a_password(self, tmp_path: Path) -> None:
        web_config = tmp_path / "web.yml"
        web_config.write_text(
            f"basic_auth_users:\n  probe: {bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n"
        )
        async with pushgateway(f"--web.config.file={web_config}") as url:
            template = url.replace("http://", "http://probe:${PUSH_PASSWORD}@")
            gateway = gateway_of(template, {"PUSH_PASSWORD": PASSWORD})
            await push(gateway, "lan", text(Verdict.PRESERVED))
            assert "mailprobe_up" in await get_text(f"{url}/metrics", gateway.headers)
            with pytest.raises(NotPushed) as said:
                await push(replace(gateway, password=Secret("wrong-secret")), "lan", text(Verdict.PRESERVED))
        assert str(said.value).startswith(f"--push: {url} refuses the metrics (HTTP 401")
        assert str(said.value).endswith("check the user name and the password in --push")
        assert "wrong-secret" not in str(said.value)


class TestOthers:
    @pytest.mark.parametrize(
        ("status", "next_step"),
        [
            (301, "give the URL that it leads to"),
            (403, "check the user name and the password"),
            (404, "whether a Pushgateway is at this URL"),
            (500, "see its log; the next run pushes again"),
            (503, "see its log; the next run pushes again"),
        ],
    )
    async def test_a_refusal_has_a_next_step_and_no_secret(self, status: int, next_step: str) -> None:
        async def refuse(request: web.BaseRequest) -> web.Response:
            said = f"\x1b[31m{request.headers['Authorization']} is\nnot welcome"
            return web.Response(status=status, text=said, headers={"Location": "http://probe:s3cret@elsewhere/"})

        async with serving(refuse) as url:
            with pytest.raises(NotPushed) as reason:
                await push(Gateway(url=url, username="probe", password=Secret("s3cret")), "lan", b"")
        said = str(reason.value)
        assert f"HTTP {status}: its answer holds the password and is not shown" in said
        assert next_step in said
        assert "s3cret" not in said

    async def test_an_answer_is_told_on_one_line_and_in_part(self) -> None:
        async def refuse(request: web.BaseRequest) -> web.Response:
            return web.Response(status=400, text="\x1b[31mno\nmetrics " + "x" * 100_000)

        async with serving(refuse) as url:
            with pytest.raises(NotPushed) as reason:
                await push(Gateway(url=url), "lan", b"")
        said = str(reason.value)
        assert "(HTTP 400: [31mno metrics xxx" in said
        assert (len(said) < 500, said.isprintable()) == (True, True)

    async def test_nobody_there(self) -> None:
        gateway = gateway_of(f"http://probe:s3cret@127.0.0.1:{free_port()}", {})
        with pytest.raises(NotPushed) as said:
            await push(gateway, "lan", b"")
        next_step = "see that it runs there, and what lies on the way"
        assert str(said.value) == f"--push: {gateway.url} cannot be reached (Connection refused): {next_step}"

    @pytest.mark.parametrize(
        "reply", [b"", b"220 mail.example.org ESMTP\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000]
    )
    async def test_something_else_there(self, reply: bytes) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(reply)

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(NotPushed, match=r"cannot be reached \(.+\): see that it runs there"):
                await push(Gateway(url=f"http://127.0.0.1:{port}"), "lan", b"")

    async def test_one_that_never_answers_is_not_waited_for(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(NotPushed, match=r"did not answer within 0\.2 s"):
                await push(Gateway(url=url), "lan", b"", patience=0.2)


class TestUrl:
    @pytest.mark.parametrize(
        ("text", "url", "username", "password"),
        [
            ("http://gw:9091", "http://gw:9091", None, ""),
            ("https://gw/push/", "https://gw/push", None, ""),
            ("http://[2001:db8::1]:9091/", "http://[2001:db8::1]:9091", None, ""),
            ("http://me:${PW}@gw:9091", "http://gw:9091", "me", PASSWORD),
            ("http://${USER}:x${PW}y@gw", "http://gw", "me@home", f"x{PASSWORD}y"),
            ("http://me%40home:a%2Fb@gw", "http://gw", "me@home", "a/b"),
            ("http://me@gw", "http://gw", "me", ""),
            ("${WHOLE}", "https://gw/x", "me", "${PW}"),
        ],
    )
    def test_taken_apart(self, text: str, url: str, username: str | None, password: str) -> None:
        environment = {"PW": PASSWORD, "USER": "me@home", "WHOLE": "https://me:%24%7BPW%7D@gw/x"}
        gateway = gateway_of(text, environment)
        assert (gateway.url, gateway.username, gateway.password.reveal()) == (url, username, password)
        assert PASSWORD not in repr(gateway)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("gw:9091", "takes the URL of a Pushgateway"),
            ("ftp://gw", "takes the URL of a Pushgateway"),
            ("http://", "takes the URL of a Pushgateway"),
            ("http://gw:99999", "takes the URL of a Pushgateway"),
            ("http://gw/ s3cret", "takes the URL of a Pushgateway"),
            ("http://me:s3cret/x@gw", "takes the URL of a Pushgateway"),
            ("http://me:12/s3cret@gw", "%2F"),
            ("http://me:12#s3cret@gw", "%23"),
            ("http://gw/?s3cret=1", "%3F"),
            ("http://gw/metrics/job/x", "without /metrics/job"),
            ("http://a%3As3cret:x@gw", "colon"),
            ("http://me:${NOT_SET}@gw", "the environment variable NOT_SET is not set"),
            ("${NOT_SET}", "the environment variable NOT_SET is not set"),
        ],
    )
    def test_what_is_none_is_said_without_what_may_be_a_secret(self, text: str, said: str) -> None:
        with pytest.raises(NoGateway) as reason:
            gateway_of(text, {})
        assert said in str(reason.value)
        assert "s3cret" not in str(reason.value)
