"""Lines are kept while a session may need them, and found by when they arrived."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.events import Connected, Observed
from probe.service.shelf import Shelf
from tests.builders import OURS, observed


def line(arrival: float) -> Observed:
    return observed(Connected(client=OURS), arrival=arrival)


@given(arrivals=st.lists(st.floats(0, 100), max_size=60), moment=st.floats(0, 100))
def test_what_arrived_since_is_found_whatever_the_order(arrivals: list[float], moment: float) -> None:
    shelf = Shelf(few=1_000)
    for arrival in arrivals:
        shelf.put([line(arrival)])
    assert [seen.arrival for seen in shelf.since(moment)] == [arrival for arrival in arrivals if arrival >= moment]


@given(batches=st.lists(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=9), max_size=40), need=st.integers(0, 40))
def test_what_is_needed_is_never_let_go(batches: list[list[float]], need: int) -> None:
    shelf, put = Shelf(few=3), []
    with shelf.needed_since(need):
        for number, offs in enumerate(batches):
            found = [line(number + off) for off in offs]
            put += found
            shelf.put(found)
        assert list(shelf.since(need)) == [seen for seen in put if seen.arrival >= need]


def test_what_nobody_needs_goes() -> None:
    shelf = Shelf(few=10)
    for number in range(1_000):
        shelf.put([line(number)])
    assert len(shelf) <= 20


def test_the_oldest_go_at_the_bound_even_if_they_are_needed() -> None:
    shelf = Shelf(few=10, most=100)
    with shelf.needed_since(0):
        for number in range(1_000):
            shelf.put([line(number)])
        assert len(shelf) <= 100
        assert shelf.since(0)[-1].arrival == 999
