"""The web-config that is in force: read again when a file of it has changed, and kept where the new one is no good.

Who asks is every request and every new connection, as in Prometheus's toolkit; what is asked is a few `stat`, and only
after a change are files read. A bad new file is said once; the old one goes on until the fault is mended.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.notices import warn
from probe.service.web.web_config import OPEN, WebConfig, read_web_config
from probe.service.web.web_tls import context_of
from probe.settings import ConfigurationError, ConfigurationFault

_Mark = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class InForce:
    """A web-config with the context of its certificates."""

    config: WebConfig = OPEN
    context: ssl.SSLContext | None = None


def sound(file: Path) -> InForce:
    """What this file comes to. ConfigurationError with every fault in it, those of its certificates included."""
    return _sound(file, *read_web_config(file))


def _sound(file: Path, config: WebConfig, faults: Sequence[ConfigurationFault]) -> InForce:
    context, unfit = context_of(config.tls) if config.tls else (None, ())
    if faults or unfit:
        raise ConfigurationError(str(file), [*faults, *unfit])
    return InForce(config=config, context=context)


class Standing:
    """`file` says which file is configured just now. `trouble`: why the newest one was not taken."""

    def __init__(self, file: Callable[[], Path | None]) -> None:
        self._file = file
        self._mark: _Mark | None = None
        self._now = InForce()
        self._beside: tuple[Path, ...] = ()
        self.trouble = ""

    def begin(self) -> None:
        """Read it for the first time. ConfigurationError: it cannot be used; serve nothing without it."""
        self._read(self._file())

    def now(self) -> InForce:
        """What is in force."""
        file = self._file()
        if self._marked(file) == self._mark:
            return self._now
        try:
            self._read(file)
            self.trouble = ""
        except ConfigurationError as error:
            self.trouble = f"The web-config file was not taken, the one before it goes on: {error}"
            warn("the web-config file was not taken", reason=str(error))
        self._mark = self._marked(file)
        return self._now

    def _read(self, file: Path | None) -> None:
        config, faults = read_web_config(file) if file is not None else (OPEN, ())
        self._beside = config.tls.files if config.tls else ()  # a missing certificate may come later
        self._now = _sound(file, config, faults) if file is not None else InForce()
        self._mark = self._marked(file)
        for warning in config.warnings:
            warn("the web-config file", file=str(file), warning=warning)

    def _marked(self, file: Path | None) -> _Mark:
        return tuple(map(_state, (file, *self._beside))) if file else ()


def _state(file: Path) -> tuple[str, int, int, int]:
    try:
        found = file.stat()
    except OSError as error:
        return str(file), -1, error.errno or 0, 0
    return str(file), found.st_mtime_ns, found.st_size, found.st_ino
