"""TLS contexts and certificate expiry.

One context per set of TLS settings: building one with the system's CAs costs more than a whole session.
"""

from __future__ import annotations

import ssl

from probe.model import TlsOptions


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
    if connection is None:
        return None
    if checked := connection.getpeercert():
        return float(ssl.cert_time_to_seconds(str(checked["notAfter"])))
    if encoded := connection.getpeercert(binary_form=True):
        # An unchecked certificate comes only in DER, which the standard library does not read.
        from cryptography import x509  # noqa: PLC0415 - 50 ms of import for the rare `verify: false`

        return x509.load_der_x509_certificate(encoded).not_valid_after_utc.timestamp()
    return None
