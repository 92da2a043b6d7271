"""Where the metrics of `--once` go beside its report: a file, a Pushgateway. Neither changes the exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from probe import aside
from probe.model import Round
from probe.service.metrics.exposition import exposition
from probe.service.metrics.gateway import Gateway, gateway_of
from probe.service.metrics.rounds import round_registry
from probe.service.metrics.textfile import SUFFIX, NotWritten, write_textfile


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlets:
    """The places."""

    textfile: Path | None = None
    gateway: Gateway | None = None

    def tell(self, done: Round) -> Iterator[str]:
        """Put the metrics of a round to every place, and say of each that failed why and what next."""
        text, _ = exposition(round_registry(done), None)
        if self.textfile is not None:
            try:
                write_textfile(self.textfile, text)
            except NotWritten as reason:
                yield str(reason)
        if self.gateway is not None:
            from probe.service.metrics.push import NotPushed, push  # noqa: PLC0415 - aiohttp, for this alone

            try:
                aside.run(push(self.gateway, done.vantage, text))
            except NotPushed as reason:
                yield str(reason)


def outlets(textfile: Path | None, push: str | None, environment: Mapping[str, str]) -> Outlets:
    """The places that were asked for; ValueError says what is wrong with them before any session is opened."""
    if textfile is not None and textfile.suffix != SUFFIX:
        raise ValueError(f"--textfile takes a file called *{SUFFIX}: node_exporter reads no other")
    return Outlets(textfile=textfile, gateway=None if push is None else gateway_of(push, environment))
