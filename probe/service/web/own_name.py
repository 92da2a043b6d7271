"""By which name a server is asked, and whether that can only be its own.

A site's name can be led to loopback (DNS rebinding): the pages of that site, in a browser on this machine, are then of
one origin with what listens here. Nobody can do so with an address, or with `localhost` (RFC 6761 section 6.3).
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

from probe.model import Address, plain_address


def is_loopback(host: str) -> bool:
    """Whether it means this machine alone, without asking a resolver.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "a.localhost", "0.0.0.0", "localhost.test")]
    [True, True, True, True, False, False]
    """
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def is_own_name(named: str, listen: str) -> bool:
    """Whether a Host header can only be meant for who listens on loopback at `listen`.

    >>> [is_own_name(named, "127.0.0.1") for named in ("127.0.0.1:97", "[::1]:1", "LocalHost", "evil.example", "", "[")]
    [True, True, True, False, False, False]
    """
    try:
        host = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return False
    return host == listen.lower() or is_loopback(host) or _address(host) is not None


def _address(host: str) -> Address | None:
    with suppress(ValueError):
        return plain_address(host)
    return None
