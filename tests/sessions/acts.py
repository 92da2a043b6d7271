"""What a peer does instead of its duty. Each act is a coroutine over one visit; it raises Over where the talk ends."""

from __future__ import annotations

import asyncio

from tests.sessions.peers import Act, Over, Visit

CHUNK = 65_536
HUGE = 10 * 1024 * 1024
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


async def reset(visit: Visit) -> None:
    """RST."""
    visit.reset()


async def hang_up(visit: Visit) -> None:
    """FIN."""
    raise Over


async def silence(visit: Visit) -> None:
    """Nothing, until the client goes."""
    await visit.until_gone()


def say(octets: bytes, *, then: Act | None = None) -> Act:
    """Say this in place of the duty; a `%t` in it is the tag of the client's last line."""

    async def act(visit: Visit) -> None:
        tag = visit.lines[-1].split(b" ")[0] if visit.lines else b"*"
        await visit.say(octets.replace(b"%t", tag))
        if then is not None:
            await then(visit)

    return act


def after(seconds: float, act: Act) -> Act:
    """A peer that is slow by design."""

    async def slow(visit: Visit) -> None:
        await asyncio.sleep(seconds)
        await act(visit)

    return slow


def at_first(act: Act) -> Act:
    """Only to the first client."""

    async def once(visit: Visit) -> None:
        if visit.peer.visits[0] is visit:
            await act(visit)

    return once


def endless(octets: bytes) -> Act:
    """The same for ever, as fast as the client takes it."""

    async def act(visit: Visit) -> None:
        chunk = octets * (CHUNK // len(octets))
        while True:
            await visit.say(chunk)

    return act


def huge(start: bytes) -> Act:
    """One line of 10 MiB."""

    async def act(visit: Visit) -> None:
        await visit.say(start)
        for _ in range(HUGE // CHUNK):
            await visit.say(b"x" * CHUNK)
        await visit.say(b"\r\n")
        await visit.until_gone()

    return act


def trickle(octets: bytes, seconds: float = 1.0) -> Act:
    """One octet at a time."""

    async def act(visit: Visit) -> None:
        for octet in octets:
            await visit.say(bytes([octet]))
            await asyncio.sleep(seconds)
        await visit.until_gone()

    return act


def echo(prefix: bytes) -> Act:
    """Give the client's own line back."""

    async def act(visit: Visit) -> None:
        await visit.say(prefix.replace(b"%t", visit.lines[-1].split(b" ")[0]) + visit.lines[-1] + b"\r\n")

    return act


def wants_header(wait: float, complaint: bytes = b"") -> Act:
    """Wait for a PROXY header before anything else; without one complain, if at all, and hang up."""

    async def act(visit: Visit) -> None:
        try:
            async with asyncio.timeout(wait):
                await _read_header(visit)
        except (TimeoutError, ValueError):
            await visit.say(complaint)
            raise Over from None

    return act


def takes_header(wait: float) -> Act:
    """Read a PROXY header where one comes at once, and go on without where none does."""

    async def act(visit: Visit) -> None:
        try:
            async with asyncio.timeout(wait):
                await _read_header(visit)
        except TimeoutError:
            return

    return act


async def _read_header(visit: Visit) -> None:
    """Octet by octet, not one more than the header: what follows it belongs to TLS."""
    while not (visit.header.startswith(b"PROXY ") and visit.header.endswith(b"\r\n")):
        visit.header += await visit.read(1)
        header = visit.header
        if not (V2_SIGNATURE.startswith(header[:12]) or b"PROXY ".startswith(header[:6])):
            raise ValueError("not a PROXY header")
        if header.startswith(V2_SIGNATURE) and len(header) == 16 + int.from_bytes(header[14:16].ljust(2, b"\xff")):
            return


def spoken_to(greeting: bytes, answers: bytes) -> Act:
    """A proxy has spoken before us: greet, answer what it said, hang up."""

    async def act(visit: Visit) -> None:
        await visit.say(greeting)
        await visit.say(answers)
        raise Over

    return act
