"""What the last trust check of each endpoint found, remembered between calls where there is a place for it.

Rule 1: the place is `trust.json` beside history.file. Nothing creates that directory: where it is missing or cannot be
        written, what was found is remembered as long as the process lives, and nobody knows what another one has done.
Rule 2: the file is ours and nobody else's; what in it does not make sense is as good as not there.
Rule 3: an endpoint with another way in is another endpoint. What else differs (Endpoint.identity) bears on verdicts and
        not on what its listener believes: an open door stays open, whoever is expected to come through.
Rule 4: what touches the file blocks, and is done aside: to begin, and `announce` and `remember` while it `lasts`. A
        file system that hangs is a place that cannot be written: `lasts` is set to false, and it is touched no more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probe.aside import contents
from probe.model import Endpoint, Link, Sighting, plain_address

NAME = "trust.json"
LARGEST = 64 << 20
"""Bytes of it that are read: thousands of endpoints, each with a log line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A check: when it was, and what the server saw of the forged header if it believed it."""

    at: float
    believed: Sighting | None


@dataclass(slots=True)
class Checks:
    """What a process knows of checks, whichever file it remembers them in: the `last` ones, by name and place.

    `began`: since when it would have made some, `has_said`: that it waits with them (trust.py, rule 5).
    """

    last: dict[str, Checked] = field(default_factory=dict)
    began: float | None = None
    has_said: bool = False

    def only(self, endpoints: Iterable[Endpoint]) -> None:
        """No other endpoints are left; a file may tell of them yet."""
        keys = {_key(endpoint) for endpoint in endpoints}
        self.last = {key: one for key, one in self.last.items() if key in keys}


class TrustMemory:
    """The last check of each endpoint: what the process knows, beside what the file says."""

    def __init__(
        self,
        place: Path,
        shift: Callable[[], float] = lambda: 0.0,
        checks: Checks | None = None,
        *,
        reachable: bool = True,
    ) -> None:
        """`shift`: seconds by which the wall clock was set since the process began; the file has wall times."""
        self.place = place
        self.checks = checks or Checks()
        self._shift = shift
        self.lasts = reachable and os.access(place.parent, os.W_OK)
        for key, one in self._read().items() if reachable else ():
            known = self.checks.last.get(key)
            self.checks.last[key] = one if known is None or known.at <= one.at else known

    def last(self, endpoint: Endpoint) -> Checked | None:
        """The last check of this endpoint, None if there was none."""
        return self.checks.last.get(_key(endpoint))

    def announce(self, endpoint: Endpoint, at: float) -> bool:
        """Write down that a check is made now; False if no other process will know of it."""
        last = self.last(endpoint)
        return self._write({_key(endpoint): Checked(at=at, believed=last.believed if last else None)})

    def remember(self, endpoint: Endpoint, checked: Checked) -> None:
        """Keep what a check found."""
        self.checks.last[_key(endpoint)] = checked
        self._write({_key(endpoint): checked})

    def _write(self, changed: dict[str, Checked]) -> bool:
        """Write a check into the file, beside those that other processes have made meanwhile."""
        if not self.lasts:
            return False
        checked = {**self.checks.last, **self._read(), **changed}
        content = {key: _written(one, self._shift()) for key, one in checked.items()}
        whole = self.place.with_name(f"{self.place.name}.{os.getpid()}")
        try:
            whole.write_text(json.dumps(content, indent=1), encoding="utf-8")
            whole.replace(self.place)
        except OSError:
            self.lasts = False
            with contextlib.suppress(OSError):
                whole.unlink(missing_ok=True)
            return False
        if self.lasts:  # else somebody gave up waiting for this, and knows more by now
            self.checks.last.update(checked)
        return self.lasts

    def _read(self) -> dict[str, Checked]:
        try:
            content = json.loads(contents(self.place, LARGEST))
            return {str(key): _checked(one, self._shift()) for key, one in content.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint} {endpoint.way_in}"


def _written(checked: Checked, shift: float) -> dict[str, Any]:
    seen = checked.believed
    if seen is None:
        return {"at": checked.at + shift, "believed": None}
    sighting = {"address": str(seen.address), "port": seen.port, "link": seen.link, "source": seen.source}
    return {"at": checked.at + shift, "believed": {**sighting, "at": seen.at + shift, "line": seen.line}}


def _checked(found: Any, shift: float) -> Checked:
    seen = found["believed"]
    believed = seen and Sighting(
        address=plain_address(seen["address"]),
        port=seen["port"] and int(seen["port"]),
        link=Link(seen["link"]),
        source=str(seen["source"]),
        at=float(seen["at"]) - shift,
        line=str(seen["line"]),
    )
    return Checked(at=float(found["at"]) - shift, believed=believed or None)
