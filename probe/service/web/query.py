"""The parameters of a request, each once, each known, each of its kind; a Refusal (400) says what was expected."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from probe.report.text import one_line
from probe.service.web.refusal import Refusal

_Choice = TypeVar("_Choice", bound=StrEnum)
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


class Query:
    """The parameters, of which these are known."""

    def __init__(self, request: web.Request, known: tuple[str, ...]) -> None:
        self._given: dict[str, str] = {}
        for name, value in request.query.items():
            if name not in known:
                raise Refusal(400, f"Unknown parameter {one_line(name, 60)}: expected {', '.join(known)}.")
            if name in self._given:
                raise Refusal(400, f"{name} was given more than once: expected one value.")
            if not value:
                raise Refusal(400, f"{name} is empty: expected a value, or no {name} at all.")
            self._given[name] = value

    def text(self, name: str) -> str | None:
        """As given."""
        return self._given.get(name)

    def choice(self, name: str, kind: type[_Choice]) -> _Choice | None:
        """One of a closed set."""
        given = self._given.get(name)
        try:
            return None if given is None else kind(given)
        except ValueError:
            raise _unfit(name, given, f"one of {', '.join(kind)}") from None

    def flag(self, name: str) -> bool:
        """True or false; without it, false."""
        given = self._given.get(name, "false")
        if given not in ("true", "false", "1", "0"):
            raise _unfit(name, given, "true or false")
        return given in ("true", "1")

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`."""
        given = self._given.get(name)
        if given is None:
            return default
        if not _DIGITS.fullmatch(given) or not 1 <= int(given) <= most:
            raise _unfit(name, given, f"a number from 1 to {most}")
        return int(given)

    def moment(self, name: str) -> float | None:
        """A wall time: seconds since the epoch, or RFC 3339 (without a zone: UTC)."""
        given = self._given.get(name)
        if given is None:
            return None
        try:
            seconds = float(given) if given[:1].isdigit() and "-" not in given else _since_epoch(given)
        except (ValueError, OverflowError):
            seconds = math.nan
        if not 0.0 <= seconds < 1e11:
            raise _unfit(name, given, "seconds since the epoch or a time like 2026-11-22T18:20:31Z")
        return seconds


def _since_epoch(text: str) -> float:
    moment = datetime.fromisoformat(text.replace(" ", "+"))  # a + that was not written as %2B
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _unfit(name: str, given: str | None, expected: str) -> Refusal:
    return Refusal(400, f"{name} is {one_line(repr(given), 60)}: expected {expected}.")
