"""A vantage behind a NAT: nobody sees its own ports, and others have its address."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

import pytest

from probe.evidence.correlate import Search, search
from probe.evidence.events import Observed
from probe.evidence.scene import Scene
from probe.model import Address, Beat, Peer, Session
from tests.builders import NODE, id_moments, imaps_session, login_line, observed

OWN = ip_address("203.0.113.7")
TURNS = 100


def session_of(random: Random) -> Session:
    """With two rounds of beats."""
    moments = [100.9]
    for _ in range(7):
        moments.append(moments[-1] + random.uniform(0.06, 0.25))
    return imaps_session(
        beats=tuple(Beat(id_moments=id_moments(moment), client=Peer(NODE, 9)) for moment in moments),
        expected=(ip_network(f"{OWN}/32"),),
        closed=103.0,
    )


def line(at: float, port: int, address: Address = OWN, *, clock: float = 0.0, **told: Any) -> Observed:
    return observed(login_line(at + 5000.0 + clock, Peer(address, port)), arrival=at + 0.04, **told)


def lines_of(session: Session, random: Random, address: Address = OWN) -> Iterator[Observed]:
    for number, moments in enumerate((session.id_moments, *(beat.id_moments for beat in session.beats))):
        start = next(iter(moments.values())).start
        yield line(start + random.expovariate(1000), 2000 + number, address)


def strangers(a_second: float, random: Random) -> Iterator[Observed]:
    at = 99.0
    while (at := at + random.expovariate(a_second)) < 104.0:
        yield line(at, 3000 + int(at * 1000) % 1000)


def turn(seed: int, *, hidden: bool) -> Search:
    """Two connections a second of others behind the same NAT; `hidden`: of ours only the first goes through a node."""
    random = Random(seed)
    session = session_of(random)
    ours = [*lines_of(session, random)]
    return search(session, Scene(observed=[*ours[hidden:], *strangers(2, random)], now=120.0))


@pytest.mark.parametrize(("hidden", "least", "most"), [(True, 0, 2), (False, 75, TURNS)])
def test_somebody_else_s_line_does_not_stand_in_for_a_hidden_session_s(hidden: bool, least: int, most: int) -> None:  # noqa: FBT001
    """Its beats would prove an address that it had not: once in fifty, where one in twelve is so hidden at most."""
    found = [turn(seed, hidden=hidden) for seed in range(TURNS)]
    assert least <= sum(bool(one.evidence.sightings) for one in found) <= most


@pytest.mark.parametrize(
    ("at", "hidden", "strayed"), [(0.0, False, False), (0.04, True, True)], ids=["in its place", "beside it"]
)
def test_a_neighbour_behind_the_same_nat_makes_nobody_stray(at: float, hidden: bool, strayed: bool) -> None:  # noqa: FBT001
    """Either line has our address; unless both are of strangers, which lie where nothing of ours should."""
    random = Random(1)
    session = session_of(random)
    first, *rest = lines_of(session, random)
    start = next(iter(session.id_moments.values())).start
    near = [line(start + at, 9), line(start + at + 0.005, 10)]
    found = search(session, Scene(observed=[*near, *([] if hidden else [first]), *rest], now=120.0))
    assert (found.evidence.sightings, found.crowded, found.strayed) == ((), True, strayed)


@pytest.mark.parametrize("another", [{}, {"source": "file:/another", "clock": 0.7}], ids=["one log", "two servers"])
@pytest.mark.parametrize(
    ("later", "crowded"), [(0.0, True), (0.02, True), (0.2, False)], ids=["ours", "may be ours", "not ours"]
)
def test_somebody_else_s_line_does_not_stand_in_for_one_that_only_the_beats_hide(
    later: float,
    crowded: bool,  # noqa: FBT001
    another: dict[str, Any],
) -> None:
    """The session itself came in under our own address: what hides its beats did not mask it."""
    random = Random(1)
    session = session_of(random)
    start = next(iter(session.id_moments.values())).start
    behind_the_node = [line(start + 0.0002, 8, NODE), *list(lines_of(session, random, NODE))[1:]]
    own = line(start + later, 2000, **another)
    found = search(session, Scene(observed=[own, *behind_the_node], now=120.0))
    masked = [] if crowded else [NODE]
    assert [one.address for one in found.evidence.sightings] == masked
    assert (found.crowded, found.strayed) == (crowded, crowded)


@pytest.mark.parametrize("shown", [range(9), range(1, 9), range(0)])
def test_a_line_with_our_address_may_be_of_a_beat(shown: range) -> None:
    """What comes at other moments than ours repeats no rhythm."""
    session = session_of(Random(1))
    lines = [
        observed(login_line(6000.0 + number**2, Peer(OWN, 2000 + number)), arrival=102.0 + number) for number in shown
    ]
    assert search(session, Scene(observed=lines, now=120.0)).strayed is bool(shown)
