"""What the ledger takes for new, and where a sweep goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.loki import SECOND, Entry
from probe.evidence.sources.loki_ledger import Ledger, Way
from probe.evidence.sources.loki_sweep import LOOKBACK, Horizon, Sweep


def entry(at: int = 1, stream: int = 1, line: bytes = b"a\n") -> Entry:
    return Entry(at * SECOND, line, stream)


def test_an_entry_is_new_once_whichever_way_it_comes_first() -> None:
    for first, second in ((Way.TAIL, Way.QUERY), (Way.QUERY, Way.TAIL)):
        ledger = Ledger()
        assert ledger.fresh([entry()], first) == [entry()]
        assert ledger.fresh([entry()], first) == []
        assert ledger.fresh([entry()], second) == []


def test_streams_are_counted_by_way_and_never_compared_across() -> None:
    ledger = Ledger()
    assert len(ledger.fresh([entry(stream=1), entry(stream=2)], Way.TAIL)) == 2
    assert ledger.fresh([entry(stream=11), entry(stream=12)], Way.QUERY) == []
    assert len(ledger.fresh([entry(stream=13)], Way.QUERY)) == 1
    assert ledger.fresh([entry(stream=3)], Way.TAIL) == []


def test_below_the_floor_a_query_tells_nothing_new_and_a_tail_does() -> None:
    ledger = Ledger(floor=5 * SECOND)
    assert ledger.fresh([entry(at=4)], Way.QUERY) == []
    assert ledger.fresh([entry(at=4)], Way.TAIL) == [entry(at=4)]
    assert ledger.fresh([entry(at=4)], Way.TAIL) == []


def test_what_is_forgotten_is_below_the_floor() -> None:
    ledger = Ledger(most=3)
    entries = [entry(at=at) for at in range(10)]
    assert ledger.fresh(entries, Way.QUERY) == entries
    assert ledger.floor == 7 * SECOND
    assert ledger.fresh(entries, Way.QUERY) == []
    ledger.forget(100 * SECOND)
    assert ledger.fresh(entries, Way.QUERY) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.sampled_from([b"a\n", b"b\n"]), st.sampled_from(list(Way)))
    )
)
def test_each_entry_comes_exactly_once(told: list[tuple[int, int, bytes, Way]]) -> None:
    ledger = Ledger()
    fresh = [new for at, stream, line, way in told for new in ledger.fresh([entry(at, stream, line)], way)]
    for at, line in {(at, line) for at, _, line, _ in told}:
        streams = {way: {s for a, s, text, w in told if (a, text, w) == (at, line, way)} for way in Way}
        assert sum(new.at == at * SECOND and new.line == line for new in fresh) == max(map(len, streams.values()))


@given(st.lists(st.integers(0, 30)), st.integers(2, 5))
def test_a_sweep_sees_every_entry_unless_it_says_so(stamps: list[int], limit: int) -> None:
    held = [Entry(at, b"%d\n" % number, 1) for number, at in enumerate(sorted(stamps))]
    sweep, seen, skipped = Sweep(0, 100, began=0), set[Entry](), False
    while not sweep.done:
        page = [one for one in held if sweep.start <= one.at < sweep.end][:limit]
        seen |= set(page)
        sweep.advance(page, full=len(page) >= limit)
        skipped |= sweep.skipped
    assert skipped or seen == set(held)
    assert not skipped or max(map(stamps.count, stamps)) >= limit


def test_a_horizon_lies_below_both_clocks_and_not_too_far() -> None:
    now = 10_000 * SECOND
    assert Horizon(now).start(10) == now - LOOKBACK
    assert Horizon(now, now - 5 * SECOND).start(10) == now - 15 * SECOND
    assert Horizon(now, now + 600 * SECOND).start(10) == now - 10 * SECOND
    assert Horizon(now, 1).start(10) == now - LOOKBACK
