"""A syslog receiver and everybody who may talk to it, in all the ways they do."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from probe.evidence.line import parse_line
from probe.evidence.read import events
from probe.evidence.sources.frames import LONGEST
from probe.evidence.sources.listening import Listening
from probe.evidence.sources.source import State
from probe.evidence.sources.syslog import MOST_SENDERS, SyslogSource
from tests.evidence.expectations import NOW, plain, samples
from tests.evidence.sources.reading import Reading, consuming

LINE = b"<22>Nov 23 19:51:44 mail postfix/smtpd[7]: connect from unknown[192.168.1.10]"
IPV6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")


def receiver(transport: str, host: str = "127.0.0.1", *, port: int = 0, **more: object) -> SyslogSource:
    listening = Listening(transport=transport, host=host, port=port, **more)  # type: ignore[arg-type]
    return SyslogSource(listening, clock=time.time)


def udp_sender(source: SyslogSource, host: str = "127.0.0.1") -> socket.socket:
    sender = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((host, source.port))
    return sender


def tcp_sender(source: SyslogSource, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, source.port))


async def test_datagrams_are_lines() -> None:
    source = receiver("udp")
    async with consuming(source) as consumer:
        with udp_sender(source) as sender:
            for message in (
                LINE,
                LINE + b"\n",
                b"<22>1 2026-11-23T19:51:44.5Z mail postfix/smtpd 7 - - hello",
                b"bare",
            ):
                sender.send(message)
            await consumer.until(lambda: len(consumer.lines) == 4)
        assert consumer.lines == [
            LINE[4:] + b"\n",
            LINE[4:] + b"\n",
            b"<22>1 2026-11-23T19:51:44.5Z mail postfix/smtpd 7 - - hello\n",
            b"bare\n",
        ]
        assert source.health.lines == 4
        assert source.health.state is State.FOLLOWING


async def test_garbage_hurts_nobody() -> None:
    source = receiver("udp")
    async with consuming(source) as consumer:
        with udp_sender(source) as sender:
            for message in (b"", b"\0" * 10, os.urandom(2000), b"\n\n", b"<999999>", b"x" * 65507, b"a\nb"):
                sender.send(message)
            sender.send(LINE)
            await consumer.until(lambda: LINE[4:] in consumer.text)
        assert consumer.lines[-2:] == [b"a#012b\n", LINE[4:] + b"\n"]
        assert source.health.state is State.FOLLOWING


async def test_what_comes_between_start_and_follow_waits_in_the_kernel() -> None:
    for transport, sending in (("udp", udp_sender), ("tcp", tcp_sender)):
        source = receiver(transport)
        await source.start()
        with sending(source) as sender:
            sender.sendall(LINE + b"\n")
            lines = await anext(source.follow())
        assert lines.text == LINE[4:] + b"\n"
        await source.close()
        await source.close()
        assert [lines async for lines in source.follow()] == []


async def test_datagrams_that_the_kernel_dropped_are_a_gap_said_once() -> None:
    source = receiver("udp")
    with capture_logs() as said:
        await source.start()
        assert source._bound is not None
        source._bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with udp_sender(source) as sender:
            for _ in range(3):
                for _ in range(100):
                    sender.send(LINE)
                consumer = Reading(source)
                task = asyncio.create_task(consumer.consume())
                await consumer.until(lambda consumer=consumer: bool(consumer.lines))  # type: ignore[misc]
                sender.send(b"last")
                await consumer.until(lambda consumer=consumer: b"last" in consumer.text)  # type: ignore[misc]
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        assert source.health.gaps == 3
        await source.close()
    assert [entry["reason"] for entry in said] == [
        "datagrams came faster than they were read, and the kernel dropped some"
    ]
    assert "rmem_max" in said[0]["next_step"]


async def test_the_kernel_holds_thousands_of_datagrams() -> None:
    source = receiver("udp")
    await source.start()
    with udp_sender(source) as sender:
        for number in range(3000 if os.geteuid() == 0 else 100):
            sender.send(b"%s %d" % (LINE, number))
    consumer = Reading(source)
    task = asyncio.create_task(consumer.consume())
    await consumer.until(lambda: len(consumer.lines) >= (3000 if os.geteuid() == 0 else 100))
    assert source.health.gaps == 0
    await source.close()
    await task


async def test_streams_of_both_framings_from_many_senders() -> None:
    source = receiver("tcp")
    async with consuming(source) as consumer:
        expected = []
        senders = [tcp_sender(source) for _ in range(40)]
        for number, sender in enumerate(senders):
            for turn in range(50):
                message = b"%s %d/%d" % (LINE, number, turn)
                expected.append(message[4:] + b"\n")
                sender.sendall(message + b"\n" if (number + turn) % 3 else b"%d %s" % (len(message), message))
            await asyncio.sleep(0)
        await consumer.until(lambda: len(consumer.lines) >= len(expected))
        assert sorted(consumer.lines) == sorted(expected)
        for sender in senders:
            sender.close()
        await consumer.until(lambda: not source._senders)
        assert source.health.gaps == 0


async def test_half_a_line_waits_for_its_rest_and_is_no_line_without_it() -> None:
    source = receiver("tcp")
    async with consuming(source) as consumer:
        with tcp_sender(source) as first, tcp_sender(source) as second:
            first.sendall(LINE[:30])
            second.sendall(b"<22>whole\n")
            await consumer.until(lambda: b"whole\n" in consumer.text)
            first.sendall(LINE[30:] + b"\n")
            await consumer.until(lambda: len(consumer.lines) == 2)
            first.sendall(b"<22>half")
        await consumer.until(lambda: not source._senders)
        assert consumer.lines == [b"whole\n", LINE[4:] + b"\n"]
        assert source.health.gaps == 1


async def test_a_reset_connection_costs_only_itself() -> None:
    source = receiver("tcp")
    async with consuming(source) as consumer:
        with tcp_sender(source) as good:
            bad = tcp_sender(source)
            bad.sendall(b"<22>one\n<22>ha")
            await consumer.until(lambda: b"one\n" in consumer.text)
            bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            bad.close()
            await consumer.until(lambda: source.health.gaps == 1)
            good.sendall(LINE + b"\n")
            await consumer.until(lambda: LINE[4:] in consumer.text)
            assert source.health.state is State.FOLLOWING


async def test_what_a_port_scan_leaves_is_no_message() -> None:
    source = receiver("tcp")
    with capture_logs() as said:
        async with consuming(source) as consumer:
            for octets in (b"\x16\x03\x01\x02", b"GET / HTTP/1.0\r\n\r\nx", b"HELP", b"16"):
                with tcp_sender(source) as sender:
                    sender.sendall(octets)
            with tcp_sender(source) as sender:
                sender.sendall(LINE + b"\n")
                await consumer.until(lambda: LINE[4:] in consumer.text)
            await consumer.until(lambda: not source._senders)
            assert source.health.gaps == 0
    assert said == []


async def test_too_long_a_message_is_dropped_and_counted() -> None:
    source = receiver("tcp")
    async with consuming(source) as consumer:
        with tcp_sender(source) as sender:
            sender.setblocking(False)  # noqa: FBT003
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sender, b"<22>" + b"x" * (5 * LONGEST) + b"\n" + LINE + b"\n")
            await consumer.until(lambda: LINE[4:] in consumer.text)
        assert consumer.lines == [LINE[4:] + b"\n"]
        assert source.health.cut == 1


async def test_of_too_many_senders_the_most_silent_goes() -> None:
    source = receiver("tcp")
    async with consuming(source) as consumer:
        speaker = tcp_sender(source)
        idle = []
        for number in range(MOST_SENDERS + 20):
            idle.append(tcp_sender(source))
            speaker.sendall(b"<22>still here %d\n" % number)
            await consumer.until(lambda number=number: b"still here %d\n" % number in consumer.text)  # type: ignore[misc]
        await consumer.until(lambda: len(source._senders) == MOST_SENDERS)
        idle[0].settimeout(5)
        with pytest.raises(ConnectionResetError):
            idle[0].recv(1)
        for sender in (speaker, *idle):
            sender.close()


async def test_a_slow_consumer_slows_the_sender_down() -> None:
    """Nothing is read ahead: what does not fit into the kernel's buffers stays with the sender."""
    source = receiver("tcp")
    await source.start()
    stream = source.follow()
    with tcp_sender(source) as sender:
        sender.sendall(LINE + b"\n")
        assert (await anext(stream)).text == LINE[4:] + b"\n"
        sender.setblocking(False)  # noqa: FBT003
        sent = 0
        with suppress(BlockingIOError):
            while sent < 64 << 20:
                sent += sender.send((LINE + b"\n") * 1000)
        assert sent < 64 << 20
        received = 0
        while received < sent // (len(LINE) + 1):
            received += (await anext(stream)).text.count(b"\n")
    await source.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_port_in_use_is_said_and_tried_again(transport: str) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as other, capture_logs() as said:
        other.bind(("127.0.0.1", 0))
        if transport == "tcp":
            other.listen()
        port = other.getsockname()[1]
        source = receiver(transport, port=port)
        async with consuming(source) as consumer:
            assert source.health.state is State.FAILED
            assert source.health.reason.startswith(f"{transport}://127.0.0.1:{port} is taken by another program")
            assert "if it is the daemon, leave it running" in source.health.reason
            other.close()
            await consumer.until(lambda: source.health.state is State.FOLLOWING)
            with (udp_sender if transport == "udp" else tcp_sender)(source) as sender:
                sender.sendall(LINE + b"\n")
                await consumer.until(lambda: len(consumer.lines) == 1)
            assert source.health.gaps == 1
    assert len(said) == 2  # the port, once; the gap, once


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "is no address of this machine"), ("no.such.name.invalid", "cannot be listened on")],
)
async def test_an_address_that_cannot_be_had_is_said(host: str, reason: str) -> None:
    async with consuming(receiver("udp", host)) as consumer:
        assert consumer.source.health.state is State.FAILED
        assert reason in consumer.source.health.reason


@pytest.mark.skipif(not IPV6, reason="no IPv6 here")
@pytest.mark.parametrize("host", ["", "::"])
async def test_without_a_host_it_is_ipv4_and_ipv6(host: str) -> None:
    for transport, sending in (("udp", udp_sender), ("tcp", tcp_sender)):
        source = receiver(transport, host)
        async with consuming(source) as consumer:
            for place in ("127.0.0.1", "::1"):
                with sending(source, place) as sender:
                    sender.sendall(b"from %s\n" % place.encode())
            await consumer.receives(b"from 127.0.0.1\n", b"from ::1\n")


@pytest.mark.skipif(not IPV6, reason="no IPv6 here")
@pytest.mark.parametrize(("transport", "sending"), [("udp", udp_sender), ("tcp", tcp_sender)])
async def test_only_those_who_may_send_are_listened_to(
    transport: str, sending: Callable[[SyslogSource, str], socket.socket]
) -> None:
    source = receiver(transport, "", senders=(ip_network("127.0.0.0/8"),))
    async with consuming(source) as consumer:
        with sending(source, "::1") as stranger, sending(source, "127.0.0.1") as ours:
            with suppress(OSError):  # over TCP it is hung up on
                stranger.sendall(b"forged\n")
            ours.sendall(b"true\n")
            await consumer.receives(b"true\n")
    assert source.name == f"syslog:{transport}://:0"


async def test_real_lines_say_the_same_in_both_formats() -> None:
    real = [sample for sample in samples() if sample.file.startswith(("postfix", "dovecot", "faults"))]
    for rfc in (3164, 5424):
        source = receiver("tcp")
        async with consuming(source) as consumer:
            with tcp_sender(source) as sender:
                for sample in real:
                    line = parse_line(sample.raw, now=NOW)
                    assert line is not None
                    program, pid = line.program, line.pid or "-"
                    if rfc == 3164:
                        tag = f"{program}[{pid}]" if line.pid else program
                        text = f"<22>Nov 22 21:42:09 mail {tag}: {line.message}"
                    else:
                        text = f"<22>1 2026-11-22T21:42:09.123456Z mail {program} {pid} - - {line.message}"
                    message = text.encode()
                    sender.sendall(b"%d %s" % (len(message), message))
                    await asyncio.sleep(0)
                await consumer.until(lambda: len(consumer.lines) == len(real))
        for raw, sample in zip(consumer.lines, real, strict=True):
            expected = {key: value for key, value in (sample.expected or {}).items() if key != "pattern"}
            assert [plain(found.event) for found in events(raw, now=NOW)] == ([expected] if expected else [])


async def test_nothing_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        source = receiver("tcp")
        async with consuming(source) as consumer:
            with tcp_sender(source) as sender:
                sender.sendall(b"a\n")
                await consumer.until(lambda: len(consumer.lines) == 1)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(shutil.which("logger") is None, reason="no logger(1) here")
@pytest.mark.parametrize("options", [["--udp"], ["--tcp"], ["--tcp", "--octet-count"]], ids=" ".join)
@pytest.mark.parametrize("form", ["--rfc3164", "--rfc5424"])
async def test_logger_of_util_linux(options: list[str], form: str) -> None:
    source = receiver("udp" if "--udp" in options else "tcp")
    async with consuming(source) as consumer:
        command = ["logger", *options, form, "--server", "127.0.0.1", "--port", str(source.port)]
        for text in ("connect from unknown[192.168.1.10]", "disconnect from unknown[192.168.1.10] quit=1 commands=1"):
            await asyncio.to_thread(
                subprocess.run, [*command, "--tag", "postfix/smtpd", "--id=12", text], check=True, timeout=20
            )
        await consumer.until(lambda: len(consumer.lines) == 2)
        parsed = [parse_line(raw, now=time.time()) for raw in consumer.lines]
        assert [(line.program, line.pid, line.message) for line in parsed if line] == [
            ("postfix/smtpd", 12, "connect from unknown[192.168.1.10]"),
            ("postfix/smtpd", 12, "disconnect from unknown[192.168.1.10] quit=1 commands=1"),
        ]
        assert source.health.gaps == 0
