"""The configuration, read aside and within a bound: its files may be no files (a FIFO), or their file system may hang.

Everything that a configuration names and that can be tried without harm is tried here: CA files, and the web-config
with its certificates. While one reading hangs no other is begun, or each reload would leave a thread behind.
"""

from __future__ import annotations

from collections.abc import Callable

from probe.aside import Again, Hangs
from probe.service.outfit import contexts
from probe.service.web.standing import sound
from probe.settings import Settings, targets

BOUND = 10.0
"""Seconds for all of its files."""

Load = Callable[[], Settings]
"""Reads the configuration file; ConfigurationError with every fault."""


class NothingComes(OSError):
    """The files of a configuration cannot be read to their end; the text says what to do."""

    def __init__(self, bound: float) -> None:
        next_step = "see that it and the files it names are regular files, on file systems that answer"
        super().__init__(f"the configuration could not be read within {bound:g} s: {next_step}")


class Reader:
    """Reads the configuration as often as it is asked."""

    def __init__(self, load: Load, bound: float = BOUND) -> None:
        self._load = load
        self._bound = bound
        self._reading = Again(self._whole, bound)

    async def read(self) -> Settings:
        """What the files hold now. Raises ConfigurationError, UnusableCaFile or NothingComes."""
        if self._reading.is_under_way:  # it may have read what was there before
            raise NothingComes(self._bound)
        try:
            return await self._reading.outcome()
        except Hangs:
            raise NothingComes(self._bound) from None

    def _whole(self) -> Settings:
        settings = self._load()
        contexts(targets(settings))
        if settings.web.config_file is not None:
            sound(settings.web.config_file)
        return settings
