"""Push metrics to a Pushgateway: one PUT, which replaces all that this vantage's group held before.

Nothing is followed elsewhere, nothing of the answer is kept but the beginning of a refusal, and all of it is bounded in
time. Whatever goes wrong is NotPushed, with a next step and without a secret.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl

import aiohttp

from probe.service.metrics.exposition import PLAIN
from probe.service.metrics.gateway import Gateway

PATIENCE = 10.0
"""Seconds for all of it."""

MOST_OF_A_REFUSAL = 4096
MOST_SHOWN = 300

NEXT_STEPS = {
    400: "see whether something else pushes metrics of these names there",
    401: "check the user name and the password in --push",
    403: "check the user name and the password in --push",
    404: "see whether a Pushgateway is at this URL, its path prefix included",
    405: "see whether a Pushgateway is at this URL, its path prefix included",
    413: "raise the largest request of the proxy in front of it",
    429: "push less often, or raise the limit",
}


class NotPushed(Exception):
    """The metrics did not arrive; says why and what next."""


async def push(gateway: Gateway, vantage: str, text: bytes, patience: float = PATIENCE) -> None:
    """Replace what the gateway holds of this vantage, or raise NotPushed."""
    try:
        async with asyncio.timeout(patience):
            await _put(gateway, gateway.group(vantage), text)
    except TimeoutError:
        raise NotPushed(f"--push: {gateway.url} did not answer within {patience:g} s: see what holds it up") from None
    except aiohttp.ClientConnectorCertificateError as untrusted:
        reason = _shown(str(untrusted.certificate_error))
        next_step = "name its authority in the environment variable SSL_CERT_FILE"
        raise NotPushed(f"--push: {gateway.url} shows a certificate that is refused ({reason}): {next_step}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        next_step = "see that it runs there, and what lies on the way"
        raise NotPushed(f"--push: {gateway.url} cannot be reached ({_why(error)}): {next_step}") from None


async def _put(gateway: Gateway, url: str, text: bytes) -> None:
    headers = {"Content-Type": PLAIN, "User-Agent": "mailprobe", "Accept-Encoding": "identity", **gateway.headers}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as client,
        client.put(url, data=text, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status >= 300:
            body = await answer.content.read(MOST_OF_A_REFUSAL)
            raise NotPushed(_refusal(gateway, answer.status, body.decode("utf-8", "replace")))


def _refusal(gateway: Gateway, status: int, body: str) -> str:
    said = _shown(body)[:MOST_SHOWN]
    if any(secret in body for secret in gateway.secrets):
        said = "its answer holds the password and is not shown"
    elsewhere = "give the URL that it leads to" if status < 400 else "see its log; the next run pushes again"
    reason = f"HTTP {status}" + (f": {said}" if said else "")
    return f"--push: {gateway.url} refuses the metrics ({reason}): {NEXT_STEPS.get(status, elsewhere)}"


def _why(error: Exception) -> str:
    """asyncio puts a tuple into its message; what OpenSSL and the resolver say has numbers of its own."""
    inner = getattr(error, "os_error", None) or error
    if isinstance(inner, OSError) and inner.errno and not isinstance(inner, ssl.SSLError | socket.gaierror):
        return os.strerror(inner.errno)
    return _shown(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)


def _shown(text: str) -> str:
    """On one line, without what a terminal might obey."""
    return re.sub(r"[^\x20-\x7e]+", " ", text).strip()
