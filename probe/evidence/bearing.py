"""Which lines may bear on which session: keys that both have, where a line can be a sighting of the session. Pure.

A daemon has many sessions under way, and each batch of lines bears on few of them. Only whoever has a key in common
need look again; what is decided is always decided by a whole search (correlate.py).

Rule: a finder that learns to tie other lines to a session needs a key here, or its lines wait for the next look.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from enum import StrEnum

from probe.evidence.events import Connected, Disconnected, IdSent, LoginEnded, Observed, Rejected
from probe.evidence.scene import client_of
from probe.model import Service, Session


class Bearing(StrEnum):
    """Keys of lines whose own content says little before it is searched."""

    TOKEN = "token"  # noqa: S105 - the word, not one
    LOGIN = "login"


def keys_of_session(session: Session) -> frozenset[Hashable]:
    """What a line must have one of."""
    return frozenset(_keys_of_session(session))


def _keys_of_session(session: Session) -> Iterator[Hashable]:
    if session.client is not None:
        yield session.client
    if session.imprint.tally:
        yield frozenset(session.imprint.tally.items())
    if session.imprint.token is not None:
        yield Bearing.TOKEN
    if session.service is Service.IMAPS:
        yield Bearing.LOGIN


def keys_of_line(seen: Observed) -> Iterator[Hashable]:
    """What this line has."""
    client = client_of(seen)
    if client is not None:
        yield client
    match seen.event:
        case Disconnected(tally=tally):
            yield frozenset(tally.items())
        case Rejected():
            yield Bearing.TOKEN
        case LoginEnded():
            yield Bearing.LOGIN
        case IdSent():
            yield Bearing.TOKEN
            yield Bearing.LOGIN
        case Connected() | _:
            return
