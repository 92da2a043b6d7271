"""What the server saw: sightings tied to a session, fault lines of its time, and why nothing else counted."""

from __future__ import annotations

from dataclasses import dataclass

from probe.model.address import Address
from probe.model.words import FaultSign, Link


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One observation of a session from the server's side, tied to it beyond doubt by `link`.

    `at` is the time the log line or reply reached the probe; `line` the line or reply itself.
    """

    address: Address
    port: int | None
    link: Link
    source: str
    at: float
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """A fault line seen in the session's window; it never says whose session it was, so it never proves an address.

    `disputed`: another session of ours fell before its greeting too, or was still being opened: it may be meant.
    """

    sign: FaultSign
    client: Address | None
    source: str
    at: float
    line: str
    disputed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the search for one session gave: sightings, fault signs, and why nothing else counted.

    `forged`: what the server saw of a connection that claimed this address in a forged PROXY header, and believed.
    `to_mend`: each source that is down and may be why nothing was found, with its own reason and next step.
    """

    sightings: tuple[Sighting, ...] = ()
    signs: tuple[Sign, ...] = ()
    reasons: tuple[str, ...] = ()
    forged: Sighting | None = None
    to_mend: tuple[str, ...] = ()
