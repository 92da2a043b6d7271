"""Plain clients of the standard library, to be run in threads beside the world."""

from __future__ import annotations

import imaplib
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Protocol

from probe.demo.world import CLIENT, NAME, DemoWorld

PATIENCE = 8.0
Place = tuple[str, int]


class Logged(Protocol):
    """Log lines that hold a text, as soon as there are so many."""

    async def __call__(self, text: str, *, count: int = 1) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """All a server said until it closed, and how long that took."""

    said: bytes
    seconds: float


def connect(place: Place, *, source: str = CLIENT) -> socket.socket:
    return socket.create_connection(place, timeout=PATIENCE, source_address=(source, 0))


def until_closed(place: Place, first: bytes = b"", *, source: str = CLIENT) -> Ended:
    """Connect, perhaps say something, and listen to the end; a reset is an end too."""
    began = time.monotonic()
    said = b""
    with connect(place, source=source) as sock:
        sock.sendall(first)
        try:
            while chunk := sock.recv(4096):
                said += chunk
        except ConnectionResetError:
            pass
    return Ended(said, time.monotonic() - began)


def trusting(world: DemoWorld) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(world.ca_file))


class NamedSmtp(smtplib.SMTP):
    """SMTP to an address, with TLS for the server's name."""

    def __init__(self, place: Place, *, source: str = CLIENT) -> None:
        super().__init__(*place, local_hostname="client.test", timeout=PATIENCE, source_address=(source, 0))
        self._host = NAME


def smtps(world: DemoWorld, place: Place) -> smtplib.SMTP:
    """SMTP over TLS that has been there from the start."""
    client = smtplib.SMTP(local_hostname="client.test", timeout=PATIENCE)
    client.sock = trusting(world).wrap_socket(connect(place), server_hostname=NAME)
    client.file = None
    assert client.getreply()[0] == 220
    return client


class NamedImaps(imaplib.IMAP4):
    """IMAP over TLS to an address, with a source address and, if given, bytes in front of everything."""

    def __init__(self, world: DemoWorld, place: Place, *, source: str = CLIENT, first: bytes = b"") -> None:
        self._tls = trusting(world)
        self._source = source
        self._first = first
        super().__init__(*place, timeout=PATIENCE)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = connect((self.host, self.port), source=self._source)
        self.port_of_client = int(plain.getsockname()[1])
        plain.sendall(self._first)
        return self._tls.wrap_socket(plain, server_hostname=NAME)
