"""The web-config that is in force: read again when a file of it has changed, and kept where the new one is no good.

Who asks is every request and every new connection, as in Prometheus's toolkit; what is asked is a few `stat`, aside and
by one for all who wait, and only after a change are files read. A bad new file, or one that hangs, is said once; the
old one goes on until the fault is mended.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.aside import FILES, Again, State, state_of
from probe.notices import warn
from probe.service.web.web_config import OPEN, WebConfig, read_web_config
from probe.service.web.web_tls import context_of
from probe.settings import ConfigurationError, ConfigurationFault

_Mark = tuple[State, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class InForce:
    """A web-config with the context of its certificates."""

    config: WebConfig = OPEN
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What a look at a file found: which are `beside` it, how all of them stood (`mark`), and what they come to."""

    file: Path | None = None
    beside: tuple[Path, ...] = ()
    mark: _Mark = ()
    found: InForce | ConfigurationError = InForce()
    warnings: tuple[str, ...] = ()


def sound(file: Path) -> InForce:
    """What this file comes to. ConfigurationError with every fault in it and its certificates. Blocks."""
    return _sound(file, *read_web_config(file))


def _sound(file: Path, config: WebConfig, faults: Sequence[ConfigurationFault]) -> InForce:
    context, unfit = context_of(config.tls) if config.tls else (None, ())
    if faults or unfit:
        raise ConfigurationError(str(file), [*faults, *unfit])
    return InForce(config=config, context=context)


class Standing:
    """`file` says which file is configured just now. `trouble`: why the newest one was not taken."""

    def __init__(self, file: Callable[[], Path | None], bound: float = FILES) -> None:
        self._file = file
        self._looking = Again(self._look, bound)
        self._last = _Look()
        self.in_force = InForce()
        """As of the last look."""
        self.trouble = ""

    async def begin(self) -> None:
        """Read it for the first time. ConfigurationError: it cannot be used; serve nothing without it."""
        look = await self._looked()
        if isinstance(look.found, ConfigurationError):
            raise look.found
        self._take(look)

    async def now(self) -> InForce:
        """What is in force now."""
        self._take(await self._looked())
        return self.in_force

    async def _looked(self) -> _Look:
        file = self._file()
        if file is None:
            return _Look()
        try:
            look = await self._looking.outcome()
            return look if look.file == file else await self._looking.outcome()  # a reload came in between
        except OSError as error:
            fault = ConfigurationFault(path="", found=error.strerror or "", expected="a file that can be read")
            return _Look(file=file, found=ConfigurationError(str(file), [fault]))

    def _take(self, look: _Look) -> None:
        if look is self._last:
            return
        self._last = look
        if isinstance(look.found, InForce):
            self.in_force, self.trouble = look.found, ""
        else:
            trouble = f"The web-config file was not taken, the one before it goes on: {look.found}"
            if trouble != self.trouble:
                warn("the web-config file was not taken", reason=str(look.found))
            self.trouble = trouble
        for warning in look.warnings:
            warn("the web-config file", file=str(self._file()), warning=warning)

    def _look(self) -> _Look:
        """The last look where nothing has changed since then. Blocks."""
        file, last = self._file(), self._last
        if file is None:
            return _Look()
        own = state_of(file)
        if (own, *map(state_of, last.beside)) == last.mark:
            return last
        config, faults = read_web_config(file)
        beside = config.tls.files if config.tls else ()  # a missing certificate may come later
        mark = (own, *map(state_of, beside))
        try:
            found: InForce | ConfigurationError = _sound(file, config, faults)
        except ConfigurationError as error:
            found = error
        return _Look(file=file, beside=beside, mark=mark, found=found, warnings=config.warnings)
