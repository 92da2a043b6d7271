"""Contexts are built once per set of settings; the expiry is read from any certificate, checked or not."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from probe.model import Service, TlsOptions
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
