"""Contexts are built once per set of settings; the expiry is read from any certificate, checked or not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Peer as Place
from probe.model import Service, TlsOptions
from probe.sessions.dial import Dialled, hand_over
from probe.sessions.imap import ImapWire
from probe.sessions.journal import Journal
from probe.sessions.open import open_session
from probe.sessions.tls import TlsContexts, not_after
from tests.sessions.peers import Certificates, Peer, Town
from tests.sessions.running import endpoint, judged, kit

LONG_AGO = datetime(1980, 1, 1, tzinfo=UTC)
MOMENTS = (
    datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2030, 2, 28, tzinfo=UTC),
    datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2050, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
)


def test_one_context_per_ca_file_and_verify(certificates: Certificates) -> None:
    contexts, options = TlsContexts(), TlsOptions(ca_file=certificates.ca_file)
    first = contexts.context(options)
    assert contexts.context(replace(options, server_name="another.lab.test")) is first
    assert contexts.context(replace(options, verify=False)) is not first
    assert contexts.context(TlsOptions()) is not first


def test_unverified_contexts_check_nothing() -> None:
    context = TlsContexts().context(TlsOptions(verify=False))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("verify", [True, False])
async def test_expiry_with_and_without_verification(town: Town, service: Service, *, verify: bool) -> None:
    peer = town.open(Peer(service=service))
    at = endpoint(peer)
    session = await open_session(replace(at, tls=replace(at.tls, verify=verify)), kit(), [])
    assert session.fault is None
    assert session.certificate_expiry is not None
    assert session.certificate_expiry > session.closed


async def test_an_expired_certificate_is_told_where_nobody_checks(town: Town, certificates: Certificates) -> None:
    peer = town.open(Peer(service=Service.IMAPS, context=certificates.expired))
    at = endpoint(peer)
    session = await open_session(replace(at, tls=replace(at.tls, verify=False)), kit(), [])
    assert session.fault is None
    assert session.certificate_expiry == datetime(2020, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("ca_file", ["/nonexistent/ca.pem", __file__])
@pytest.mark.parametrize("service", list(Service))
async def test_a_ca_file_that_cannot_be_used_is_the_vantages_fault(town: Town, service: Service, ca_file: str) -> None:
    at = endpoint(town.open(Peer(service=service)))
    judgement = judged(await open_session(replace(at, tls=replace(at.tls, ca_file=ca_file)), kit(), []))
    assert (judgement.verdict, judgement.rule) == ("unverified", "vantage-cannot-open")
    assert ca_file in judgement.explanation


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_not_after_of_both_kinds_of_time(moment: datetime) -> None:
    pem = trustme.CA().issue_cert("lab.test", not_before=LONG_AGO, not_after=moment).cert_chain_pems[0].bytes()
    encoded = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert not_after(encoded) == x509.load_der_x509_certificate(encoded).not_valid_after_utc.timestamp()
    assert not_after(encoded) == moment.timestamp()


@given(st.binary(max_size=300))
def test_not_after_of_anything(octets: bytes) -> None:
    assert not_after(octets) is None


@given(st.integers(min_value=0), st.integers(0, 255))
def test_not_after_of_a_damaged_certificate(place: int, octet: int) -> None:
    damaged = bytearray(_GOOD)
    damaged[place % len(_GOOD)] = octet
    expiry = not_after(bytes(damaged))
    assert expiry is None or expiry > 0


_GOOD = ssl.PEM_cert_to_DER_cert(trustme.CA().issue_cert("lab.test").cert_chain_pems[0].bytes().decode())


async def test_whoever_is_cancelled_amid_a_handshake_leaves_no_transport_with_a_number_of_another() -> None:
    """In each turn of the loop: asyncio goes on to close a finished TLS for half a minute, and we close the socket."""
    authority, ours, theirs = trustme.CA(), ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("lab.test").configure_cert(theirs)
    authority.configure_trust(ours)
    async with await asyncio.start_server(_until_they_go, "127.0.0.1", 0, ssl=theirs) as server:
        place = server.sockets[0].getsockname()
        turns = 0
        while await _cancelled_after(turns, place, ours):
            turns += 1
    assert turns > 3


async def _until_they_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError):
        await reader.read()


async def _cancelled_after(turns: int, place: tuple[str, int], context: ssl.SSLContext) -> bool:
    """Open a connection, cancel its handshake and take its number again; False if the handshake was sooner over."""
    loop, peer = asyncio.get_running_loop(), Place(ip_address(place[0]), place[1])
    journal = Journal(loop.time)
    dialled = Dialled(sock=await _connected(place), client=peer, server=peer, connected=0.0)
    task = asyncio.create_task(hand_over(dialled, lambda: ImapWire(journal), journal, context, "lab.test"))
    for _ in range(turns):
        await asyncio.sleep(0)
    cancelled = task.cancel()
    with suppress(asyncio.CancelledError):
        (await task)[0].abort()
    dialled.end()
    for sock in [await _connected(place) for _ in range(3)]:
        sock.close()
    return cancelled


async def _connected(place: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(0)
    await asyncio.get_running_loop().sock_connect(sock, place)
    return sock
