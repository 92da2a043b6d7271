"""How something that outlives its failures fares, and what a person is told: each kind of trouble once, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

AGAIN = 600.0
"""Seconds in which the same kind of trouble is said once, however often it comes and goes."""


class Trouble(Protocol):
    """What is wrong: what, where and the next step on one line. `kind`: what stays the same trouble."""

    @property
    def kind(self) -> str:
        """A word of the program's own."""

    @property
    def reason(self) -> str:
        """For a person."""


_Trouble = TypeVar("_Trouble", bound=Trouble)


class Standing(Generic[_Trouble]):
    """The trouble there is, None while all is well. `fails`, `works`: how its begin and its end are said."""

    def __init__(self, warn: Callable[..., None], *, fails: str, works: str) -> None:
        self.trouble: _Trouble | None = None
        self._warn = warn
        self._fails = fails
        self._works = works
        self._said: dict[str, float] = {}
        self._is_told = False

    def tell(self, trouble: _Trouble) -> None:
        """It does not work."""
        self.trouble = trouble
        self._is_told |= self.say(trouble.kind, self._fails, reason=trouble.reason)

    def recovered(self, **fields: object) -> None:
        """It works again."""
        if self.trouble is not None and self._is_told:
            self._warn(self._works, **fields)
        self.trouble, self._is_told = None, False

    def say(self, kind: str, event: str, **fields: object) -> bool:
        """Say something of this kind, unless it was said lately; True if it was news."""
        now = asyncio.get_running_loop().time()
        if kind in self._said and now - self._said[kind] < AGAIN:
            return False
        self._said[kind] = now
        self._warn(event, **fields)
        return True


async def rest(seconds: float, until: asyncio.Event) -> None:
    """Wait so long, or until this happens."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until.wait()
