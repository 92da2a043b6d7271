"""Who may come in: basic authentication against bcrypt hashes (RFC 7617).

- A hash costs a tenth of a second of a processor: it is made in a thread, one at a time, and its outcome is remembered
  under a keyed digest, so passwords stay nowhere.
- An unknown user costs what a known one costs: a hash of equal cost that nothing fits.
- Whoever floods the door with wrong passwords waits in a short queue; those who were let in before do not stand in it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b

import bcrypt

from probe.model import Secret

REMEMBERED = 256
WAITING = 16
"""Logins that wait for a hash; more are told to come again."""

LONGEST = 72
"""Bytes of a password that bcrypt looks at; Go's, which made the toolkit's rules, ignores the rest."""


class Crowded(Exception):
    """Too many logins wait for their turn."""


class Doorkeeper:
    """Checks logins. `key`: random bytes of this process."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def lets_in(self, header: str | None, users: Mapping[str, Secret]) -> bool:
        """Whether an Authorization header names one of these users with his password. Crowded."""
        login = _login(header)
        if login is None:
            return False
        user, password = login
        known = users.get(user)
        hashed = (known.reveal() if known is not None else _nobody(users)).encode()
        digest = self._digest(user.encode(errors="replace"), hashed, password)
        for remembered, outcome in ((self._known, True), (self._wrong, False)):
            if digest in remembered:
                remembered.move_to_end(digest)
                return outcome
        fits = await self._fits(password, hashed) and known is not None
        _remember(self._known if fits else self._wrong, digest)
        return fits

    async def _fits(self, password: bytes, hashed: bytes) -> bool:
        if self._waiting >= WAITING:
            raise Crowded
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(_checked, password, hashed)
        finally:
            self._waiting -= 1

    def _digest(self, *parts: bytes) -> bytes:
        made = blake2b(key=self._key[:64])
        for part in parts:
            made.update(len(part).to_bytes(8, "big"))
            made.update(part)
        return made.digest()


def _login(header: str | None) -> tuple[str, bytes] | None:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _checked(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:LONGEST], hashed)
    except ValueError:  # a password with a NUL
        return False


def _nobody(users: Mapping[str, Secret]) -> str:
    """A hash that no password fits, as dear as the dearest of the users'.

    >>> _nobody({"a": Secret("$2y$09$…"), "b": Secret("$2y$12$…")})[:7]
    '$2b$12$'
    """
    cost = max((hashed.reveal().split("$")[2] for hashed in users.values()), default="10")
    return f"$2b${cost}$" + "." * 53


def _remember(among: OrderedDict[bytes, None], digest: bytes) -> None:
    among[digest] = None
    while len(among) > REMEMBERED:
        among.popitem(last=False)
