"""TLS contexts and certificate expiry.

One context per set of TLS settings: building one with the system's CAs costs more than a whole session.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import lru_cache

from probe.model import TlsOptions

VERSION = 0xA0
UTC_TIME = 0x17
"""Tags of DER: the optional first field of a certificate; a time with a year of two digits (else there are four)."""


class TlsContexts:
    """Contexts by (ca_file, verify); the server name belongs to each handshake, not to the context."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str | None, bool], ssl.SSLContext] = {}

    def context(self, options: TlsOptions) -> ssl.SSLContext:
        """The context for these options, built once. OSError or ssl.SSLError if the CA file cannot be used."""
        key = (options.ca_file, options.verify)
        if key not in self._contexts:
            self._contexts[key] = _build(options)
        return self._contexts[key]


def _build(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_file)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def certificate_expiry(connection: ssl.SSLObject | None) -> float | None:
    """notAfter of the server's certificate in seconds since the epoch; None without TLS."""
    encoded = connection.getpeercert(binary_form=True) if connection is not None else None
    return not_after(encoded) if encoded else None


@lru_cache(maxsize=256)  # the same few servers show the same few certificates
def not_after(certificate: bytes) -> float | None:
    """notAfter of a DER certificate (RFC 5280 section 4.1), None if it is none.

    The standard library reads fields only of a certificate that it has checked, and `verify: false` checks nothing.

        Certificate { TBSCertificate { [0] version, serialNumber, signature, issuer, Validity { notBefore, notAfter } …
    """
    try:
        (_, whole), *_ = _elements(certificate)
        (_, to_be_signed), *_ = _elements(whole)
        fields = [content for tag, content in _elements(to_be_signed) if tag != VERSION]
        _, (tag, moment) = _elements(fields[3])
        return _seconds(tag, moment.decode("ascii"))
    except (ValueError, IndexError):
        return None


def _elements(octets: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of every element in a row of them (X.690 section 8.1)."""
    found = []
    while octets:
        tag, length, start = octets[0], octets[1], 2
        if length > 0x80:
            start += length - 0x80
            length = int.from_bytes(octets[2:start], "big")
        if length == 0x80 or start + length > len(octets):
            raise ValueError("not DER")
        found.append((tag, octets[start : start + length]))
        octets = octets[start + length :]
    return found


def _seconds(tag: int, moment: str) -> float:
    if tag == UTC_TIME:
        moment = ("19" if moment >= "5" else "20") + moment
    return datetime.strptime(moment, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
