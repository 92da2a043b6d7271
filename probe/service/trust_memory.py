"""What the last trust check of each endpoint found, remembered between calls where there is a place for it.

Rule 1: the place is `trust.json` beside history.file. Nothing creates that directory: where it is missing or cannot be
        written, what was found is remembered as long as the process lives.
Rule 2: the file is ours and nobody else's; what in it does not make sense is as good as not there.
Rule 3: an endpoint that is configured differently is another endpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.model import Endpoint, Link, Sighting, plain_address

NAME = "trust.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A check: when it was, and what the server saw of the forged header if it believed it."""

    at: float
    believed: Sighting | None


class TrustMemory:
    """The last check of each endpoint, by name and place."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file if file and os.access(file.parent, os.W_OK) else None
        self._checked = self._read()

    def last(self, endpoint: Endpoint) -> Checked | None:
        """The last check of this endpoint, None if there was none."""
        return self._checked.get(_key(endpoint))

    def remember(self, endpoint: Endpoint, checked: Checked) -> None:
        """Keep a check, beside those that other processes have made meanwhile."""
        self._checked = {**self._checked, **self._read(), _key(endpoint): checked}
        if self.file is None:
            return
        content = {key: _written(one) for key, one in self._checked.items()}
        whole = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            whole.write_text(json.dumps(content, indent=1), encoding="utf-8")
            whole.replace(self.file)
        except OSError:
            self.file = None
            with contextlib.suppress(OSError):
                whole.unlink()

    def _read(self) -> dict[str, Checked]:
        try:
            content = json.loads(self.file.read_text(encoding="utf-8")) if self.file else {}
            return {str(key): _checked(one) for key, one in content.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint} {endpoint.host} {endpoint.port} {endpoint.proxy_header} {endpoint.source_address}"


def _written(checked: Checked) -> dict[str, Any]:
    seen = checked.believed
    if seen is None:
        return {"at": checked.at, "believed": None}
    sighting = {"address": str(seen.address), "port": seen.port, "link": seen.link, "source": seen.source}
    return {"at": checked.at, "believed": {**sighting, "at": seen.at, "line": seen.line}}


def _checked(found: Any) -> Checked:
    seen = found["believed"]
    believed = seen and Sighting(
        address=plain_address(seen["address"]),
        port=seen["port"] and int(seen["port"]),
        link=Link(seen["link"]),
        source=str(seen["source"]),
        at=float(seen["at"]),
        line=str(seen["line"]),
    )
    return Checked(at=float(found["at"]), believed=believed or None)
