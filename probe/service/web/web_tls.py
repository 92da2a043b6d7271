"""`tls_server_config` -> a context for connections, and whose client certificate may come in.

Certificate and key may stand in the web-config file itself; OpenSSL reads them from files only, so they are lent one
that nobody else can open.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from probe.aside import contents
from probe.service.web.web_config import LITERAL, ClientAuth, ServerTls
from probe.settings import ConfigurationFault

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_AUTH = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}


PASSPHRASE = "a key with a passphrase"  # noqa: S105 - words, not a secret


def context_of(tls: ServerTls) -> tuple[ssl.SSLContext, tuple[ConfigurationFault, ...]]:
    """A context for new connections, and which file or key of it is at fault. Blocks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    return context, (
        *_tried("cert_file", "a PEM certificate and its key, without a passphrase", lambda: _certify(context, tls)),
        *_tried("client_ca_file", "a PEM file of authorities", lambda: _trust(context, tls)),
        *_tried("cipher_suites", "suites that this OpenSSL has", lambda: _choose(context, tls)),
    )


def allowed(certificate: Mapping[str, Any] | None, names: Sequence[str]) -> bool:
    """Whether a client's certificate (as `getpeercert` tells it) carries one of these alternative names."""
    held = (value for _, value in (certificate or {}).get("subjectAltName", ()))
    return any(value in names for value in held)


def _certify(context: ssl.SSLContext, tls: ServerTls) -> None:
    def no_passphrase() -> str:
        raise ssl.SSLError(PASSPHRASE)  # else OpenSSL would ask for one on the terminal

    if not tls.complete:
        return  # which has been told already
    with ExitStack() as lent:
        certificate = tls.cert_file or lent.enter_context(_lent(tls.cert))
        key = tls.key_file or lent.enter_context(_lent(tls.key.reveal()))
        for file in (certificate, key):
            contents(file, 1)  # says which one it is, and opens no FIFO as OpenSSL would
        context.load_cert_chain(certificate, key, password=no_passphrase)


def _trust(context: ssl.SSLContext, tls: ServerTls) -> None:
    context.verify_mode = _AUTH[tls.client_auth]
    if tls.client_ca_file is not None:
        contents(tls.client_ca_file, 1)
        context.load_verify_locations(tls.client_ca_file)
    elif tls.client_ca:
        context.load_verify_locations(cadata=tls.client_ca)
    elif tls.client_auth is not ClientAuth.NONE:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)


def _choose(context: ssl.SSLContext, tls: ServerTls) -> None:
    if tls.ciphers:
        context.set_ciphers(":".join(tls.ciphers))
    if not tls.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.curve:
        context.set_ecdh_curve(tls.curve)


def _tried(key: str, expected: str, step: Callable[[], None]) -> Iterator[ConfigurationFault]:
    try:
        step()
    except ssl.SSLError as error:
        yield _fault(key, SAID.get(error.reason or str(error), "nothing of that kind"), expected)
    except (OSError, ValueError) as error:
        name = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        expected = f"{expected}{LITERAL}; a relative name is one of its folder" if "${" in name else expected
        yield _fault(key, f"{name}{getattr(error, 'strerror', None) or error}", expected)


SAID = {
    "KEY_VALUES_MISMATCH": "the key of another certificate",
    PASSPHRASE: PASSPHRASE,
    "NO_CIPHER_MATCH": "suites that it has not",
}
"""OpenSSL's words, and ours for them."""


def _fault(key: str, found: str, expected: str) -> ConfigurationFault:
    return ConfigurationFault(path=f"tls_server_config.{key}", found=found, expected=expected)


@contextmanager
def _lent(text: str) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(prefix="mailprobe-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
        yield Path(name)
    finally:
        Path(name).unlink()
