"""What a bare client sees at a port: the signatures of field notes, without any probe.

Every function opens one connection from a namespace of the lab and returns a value; times are seconds since the
connection stood.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tests.lab.lab import Lab

V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2_LOCAL_HEADER = V2_SIGNATURE + b"\x20\x00\x00\x00"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a bare client goes, and from which address."""

    lab: Lab
    host: str
    port: int
    source: str | None = None
    namespace: str = "vantage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came from the server before it closed or the client gave up."""

    text: bytes
    first_byte: float | None
    seconds: float
    end: str
    """closed, reset or silent"""


def v2_header(client: str, server: str, ports: tuple[int, int] = (40000, 25)) -> bytes:
    """A version 2 PROXY header that claims the given client."""
    addresses = (ipaddress.ip_address(client), ipaddress.ip_address(server))
    body = b"".join(address.packed for address in addresses) + b"".join(port.to_bytes(2, "big") for port in ports)
    family = b"\x11" if addresses[0].version == 4 else b"\x21"
    return V2_SIGNATURE + b"\x21" + family + len(body).to_bytes(2, "big") + body


def connection(target: Target, seconds: float = 5) -> socket.socket:
    ipv6 = ":" in target.host
    one = target.lab.socket(namespace=target.namespace, ipv6=ipv6)
    one.settimeout(seconds)
    if target.source:
        one.bind((target.source, 0))
    try:
        one.connect((target.host, target.port))
    except OSError:
        one.close()
        raise
    return one


def connecting(target: Target, seconds: float) -> tuple[str, float]:
    """How connecting ends, and after how long: connected, or the name of the error."""
    start = time.monotonic()
    try:
        connection(target, seconds).close()
    except TimeoutError:
        return "TimeoutError", time.monotonic() - start
    except OSError as error:
        return {111: "ECONNREFUSED", 113: "EHOSTUNREACH"}.get(error.errno or 0, repr(error)), time.monotonic() - start
    return "connected", time.monotonic() - start


def listen(target: Target, *, first: bytes = b"", seconds: float = 8) -> Heard:
    """Send `first` and nothing else, and hear what comes. Times count from the SYN: no server's own begin before it."""
    start = time.monotonic()
    with connection(target) as one:
        if first:
            one.sendall(first)
        text, first_byte, end = b"", None, "closed"
        try:
            while True:
                one.settimeout(max(0.01, start + seconds - time.monotonic()))
                part = one.recv(4096)
                if not part:
                    break
                first_byte = first_byte or time.monotonic() - start
                text += part
        except TimeoutError:
            end = "silent"
        except ConnectionError:
            end = "reset"
        return Heard(text=text, first_byte=first_byte, seconds=time.monotonic() - start, end=end)


def handshake(target: Target, *, first: bytes = b"", name: str = "mail.lab.test") -> tuple[str, float]:
    """How a TLS handshake ends: ok, or the reason it failed."""
    context = ssl.create_default_context(cafile=str(target.lab.ca_file))
    with connection(target) as one:
        start = time.monotonic()
        try:
            if first:
                one.sendall(first)
            with context.wrap_socket(one, server_hostname=name) as wrapped:
                # Where the other side was gone already, Python takes the socket for one not connected yet.
                return "ok" if wrapped.version() else "closed", time.monotonic() - start
        except ssl.SSLEOFError:
            return "closed", time.monotonic() - start
        except ssl.SSLCertVerificationError as error:
            return error.verify_message, time.monotonic() - start
        except ssl.SSLError as error:
            return error.reason or repr(error), time.monotonic() - start
        except ConnectionError:
            return "closed", time.monotonic() - start


def dialogue(target: Target, *lines: str, first: bytes = b"") -> str:
    """The whole text of a plain conversation that sends one line per answer."""
    with connection(target) as one:
        one.sendall(first)
        with one.makefile("rwb") as stream:
            text = _reply(stream.readline)
            for line in lines:
                stream.write(line.encode() + b"\r\n")
                stream.flush()
                text += _reply(stream.readline)
            return text


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Results of all, run at the same time: most signatures are waits."""
    with ThreadPoolExecutor(len(acts)) as threads:
        return [future.result() for future in [threads.submit(act) for act in acts]]


def _reply(readline: Callable[[], bytes]) -> str:
    text = ""
    while line := readline().decode(errors="replace"):
        text += line
        if line[3:4] != "-":
            break
    return text
