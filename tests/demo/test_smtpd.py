"""The SMTP side, spoken to with smtplib: replies, and counts exactly as the commands were."""

from __future__ import annotations

import asyncio
import re
import smtplib
from collections.abc import Callable

import pytest

from probe.demo.world import CLIENT, DemoWorld
from probe.model import Service
from tests.demo.clients import Logged, NamedSmtp, connect, smtps, trusting, until_closed

MINE = f"disconnect from unknown[{CLIENT}]"
HEADER = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d mail postfix/(\w+/)?smtpd\[\d+\]: ")


def opened(world: DemoWorld, service: Service) -> smtplib.SMTP:
    """A session that has said EHLO, inside TLS."""
    if service is Service.SUBMISSIONS:
        client = smtps(world, world.place(service))
    else:
        client = NamedSmtp(world.place(service))
        client.ehlo()
        client.starttls(context=trusting(world))
    client.ehlo()
    return client


@pytest.mark.parametrize(
    ("service", "program", "hello"),
    [
        (Service.SMTP, "postfix/smtpd", "ehlo=2 starttls=1"),
        (Service.SUBMISSION, "postfix/submission/smtpd", "ehlo=2 starttls=1"),
        (Service.SUBMISSIONS, "postfix/submissions/smtpd", "ehlo=1"),
    ],
)
async def test_counts_are_those_of_the_session(
    world: DemoWorld, logged: Logged, service: Service, program: str, hello: str
) -> None:
    def session() -> None:
        client = opened(world, service)
        for verb in ("noop", "rset", "noop", "rset", "noop"):
            assert client.docmd(verb)[0] == 250
        assert client.quit()[0] == 221

    await asyncio.to_thread(session)
    [line] = await logged(MINE)
    total = sum(int(number) for number in re.findall(r"=(\d)", hello)) + 6
    assert HEADER.match(line)
    assert f" {program}[" in line
    assert line.endswith(f"{MINE} {hello} rset=2 noop=3 quit=1 commands={total}")
    [connected] = await logged(f"]: connect from unknown[{CLIENT}]")
    assert HEADER.match(connected)[0][16:] == HEADER.match(line)[0][16:]  # type: ignore[index]


async def test_submission_refuses_and_counts_before_tls(world: DemoWorld, logged: Logged) -> None:
    def session() -> None:
        client = NamedSmtp(world.place(Service.SUBMISSION))
        client.ehlo()
        assert client.docmd("noop")[0] == 250
        for verb in ("rset", "vrfy x", "data"):
            assert client.docmd(verb) == (530, b"5.7.0 Must issue a STARTTLS command first")
        client.quit()

    await asyncio.to_thread(session)
    [line] = await logged(MINE)
    assert line.endswith("ehlo=1 data=0/1 rset=0/1 noop=1 vrfy=0/1 quit=1 commands=3/6")


async def test_relaying_is_refused_and_logged_with_the_token(world: DemoWorld, logged: Logged) -> None:
    def session() -> tuple[int, bytes]:
        client = NamedSmtp(world.place(Service.SMTP))
        client.ehlo("tok-abc123.probe.example")
        client.docmd("MAIL FROM:<probe+abc123@lab.test>")
        reply = client.docmd("RCPT TO:<nobody@elsewhere.test>")
        client.quit()
        return reply

    assert await asyncio.to_thread(session) == (554, b"5.7.1 <nobody@elsewhere.test>: Relay access denied")
    [line] = await logged("NOQUEUE: reject")
    assert line.endswith(
        f"NOQUEUE: reject: RCPT from unknown[{CLIENT}]: 554 5.7.1 <nobody@elsewhere.test>: Relay access denied;"
        " from=<probe+abc123@lab.test> to=<nobody@elsewhere.test> proto=ESMTP helo=<tok-abc123.probe.example>"
    )
    [line] = await logged(MINE)
    assert line.endswith("ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4")


async def test_a_stranger_on_submissions_is_told_his_address(world: DemoWorld, logged: Logged) -> None:
    def session() -> tuple[int, bytes]:
        client = opened(world, Service.SUBMISSIONS)
        reply = client.docmd("VRFY x")
        client.quit()
        return reply

    refused = f"5.7.1 <unknown[{CLIENT}]>: Client host rejected: Access denied"
    assert await asyncio.to_thread(session) == (554, refused.encode())
    [line] = await logged("NOQUEUE: reject: VRFY")
    assert refused in line


@pytest.mark.parametrize(("password", "code", "count"), [(None, 235, "auth=1"), ("wrong", 535, "auth=0/1")])
async def test_login(world: DemoWorld, logged: Logged, password: str | None, code: int, count: str) -> None:
    def session() -> int:
        client = opened(world, Service.SUBMISSION)
        client.user, client.password = world.house.account[0], password or world.house.account[1]
        try:
            return client.auth("PLAIN", client.auth_plain)[0]
        except smtplib.SMTPAuthenticationError as refusal:
            return refusal.smtp_code
        finally:
            client.quit()

    assert await asyncio.to_thread(session) == code
    [line] = await logged(MINE)
    assert f" {count} " in line


def speak_nonsense(world: DemoWorld) -> None:
    until_closed(world.place(Service.SMTP), b"EHLO x\r\nHOCUS pocus\r\n\xff\xfe\r\n\r\nQUIT\r\n")


def hang_up_early(world: DemoWorld) -> None:
    connect(world.place(Service.SMTP)).close()


def hang_up_in_midst(world: DemoWorld) -> None:
    client = NamedSmtp(world.place(Service.SMTP))
    client.ehlo()
    client.close()


def break_starttls(world: DemoWorld) -> None:
    client = NamedSmtp(world.place(Service.SMTP))
    client.ehlo()
    client.docmd("STARTTLS")
    client.sock.sendall(b"this is no ClientHello\r\n")  # type: ignore[union-attr]
    client.sock.recv(100)  # type: ignore[union-attr]
    client.close()


def break_tls(world: DemoWorld) -> None:
    until_closed(world.place(Service.SUBMISSIONS), b"EHLO x\r\n")


@pytest.mark.parametrize(
    ("misbehave", "lines"),
    [
        (speak_nonsense, ("disconnect from {} ehlo=1 quit=1 unknown=0/1 commands=2/3",)),
        (hang_up_early, ("lost connection after CONNECT from {}", "disconnect from {} commands=0/0")),
        (hang_up_in_midst, ("lost connection after EHLO from {}", "disconnect from {} ehlo=1 commands=1")),
        (
            break_starttls,
            ("SSL_accept error from {}: -1", "disconnect from {} ehlo=1 starttls=0/1 commands=1/2"),
        ),
        (
            break_tls,
            (
                "SSL_accept error from {}: -1",
                "lost connection after CONNECT from {}",
                "disconnect from {} commands=0/0",
            ),
        ),
    ],
)
async def test_every_end_is_logged(
    world: DemoWorld, logged: Logged, misbehave: Callable[[DemoWorld], None], lines: tuple[str, ...]
) -> None:
    await asyncio.to_thread(misbehave, world)
    for line in lines:
        [found] = await logged(line.format(f"unknown[{CLIENT}]"))
        assert found.endswith(line.format(f"unknown[{CLIENT}]"))


async def test_a_client_cannot_write_log_lines(world: DemoWorld, logged: Logged) -> None:
    evil = b"EHLO a\rNov 22 00:00:00 mail dovecot:\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nQUIT\r\n"
    await asyncio.to_thread(until_closed, world.place(Service.SMTP), evil)
    [line] = await logged("NOQUEUE")
    assert "helo=<a?Nov 22" in line
