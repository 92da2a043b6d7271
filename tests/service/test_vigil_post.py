"""What is written down of one endpoint: which session names a gap, which is set aside, what is proven afterwards."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.model import (
    Edge,
    Endpoint,
    Failure,
    Fault,
    GapKind,
    Networks,
    Phase,
    PhaseTiming,
    Result,
    Service,
    Span,
    Verdict,
    WatchedEndpoint,
)
from probe.service.vigil.beat import Beat
from probe.service.vigil.post import Post, Turn
from probe.verdict.shown import outages
from tests.builders import failed, result
from tests.watched import knocks

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
SILENT, CLOSED = failed(Phase.CONNECT, Failure.TIMED_OUT), failed(Phase.FIRST_BYTE, Failure.CLOSED)


def session(verdict: Verdict, opened: float, *, fault: Fault | None = None, cause: str | None = None) -> Result:
    """A judged session of a second."""
    judged = result(verdict, opened=opened, closed=opened + 1.0, connected=None if fault else opened, fault=fault)
    return replace(judged, judgement=replace(judged.judgement, cause=cause))


def post(told: str, start: float = 1000.0) -> Post:
    """An endpoint that was knocked at."""
    one = Post(SMTP)
    knocked(one, told, start)
    return one


def knocked(one: Post, told: str, start: float) -> list[Turn | None]:
    return [one.knocked(knock) for knock in knocks(told, start=start)]


def seen(one: Post) -> WatchedEndpoint:
    return one.told(0.2)


def test_a_rest_is_doubled_each_time_however_often_up_to_the_longest() -> None:
    one = post("")
    rests = []
    for one.counted_in_row in (1, 2, 3, 5_000):
        rests.append(one.rest(20.0))
    assert rests == [2.0, 4.0, 8.0, 20.0]


def test_at_the_end_a_knock_that_was_held_is_not_missed() -> None:
    one = post("--")
    ended = Span(1000.0, 1009.0)
    assert one.told(0.2, ended).blind == (Span(1000.2, 1009.0),)
    assert seen(one).blind == ()
    one.held_until = 1010.0
    assert one.told(0.2, ended).blind == ()


def test_knocks_turn_it() -> None:
    one = Post(SMTP)
    assert knocked(one, "--xx-x---", 1000.0) == [None] * 3 + [Turn.WENT] + [None] * 3 + [Turn.CAME_BACK, None]


def test_a_session_in_a_gap_names_it_with_its_cause() -> None:
    one = post("-----" + "x" * 20)
    sample = one.recorded(session(Verdict.SILENT_DROP, 1001.2, fault=SILENT, cause="node1 has no pod"), 1002.3)
    (gap,) = seen(one).gaps
    assert sample.aside
    assert gap.judgement is not None
    assert (gap.judgement.verdict, gap.judgement.cause) == (Verdict.SILENT_DROP, "node1 has no pod")


def test_what_was_found_after_the_gap_is_not_its_cause() -> None:
    one = post("-----" + "x" * 20 + "---")
    one.recorded(session(Verdict.SILENT_DROP, 1001.2, fault=SILENT, cause="before"), 1002.3)
    one.recorded(session(Verdict.SILENT_DROP, 1004.0, fault=SILENT, cause="after"), 1005.1)
    assert [gap.judgement.cause for gap in seen(one).gaps if gap.judgement] == ["before"]
    late = post("-----" + "x" * 20 + "---")
    late.recorded(session(Verdict.SILENT_DROP, 1004.0, fault=SILENT, cause="after"), 1005.1)
    assert [gap.judgement.cause for gap in seen(late).gaps if gap.judgement] == [None]


def test_a_session_that_was_lost_amid_is_set_aside_and_names_only_a_lost_way() -> None:
    one = post("-----" + "x" * 20)
    assert one.recorded(
        session(Verdict.NO_GREETING, 1000.6, fault=failed(Phase.GREETING, Failure.TIMED_OUT)), 1002
    ).aside
    assert [gap.judgement for gap in seen(one).gaps] == [None]


def test_a_session_that_could_not_be_opened_ends_no_outage_and_is_as_good_as_none() -> None:
    unable = failed(Phase.CONNECT, Failure.VANTAGE)
    one = post("-----")
    one.recorded(session(Verdict.MASKED, 1001.0), 1002.0)
    one.recorded(session(Verdict.UNVERIFIED, 1003.0, fault=unable), 1004.0)
    assert [gap.ended for gap in seen(one).gaps] == [None]
    held = post("-----")
    for opened, failure in ((1001.0, Failure.BAD_CREDENTIALS), (1003.0, Failure.LOGIN_HELD)):
        held.recorded(session(Verdict.LOGIN_FAILED, opened, fault=failed(Phase.LOGIN, failure)), opened + 1.0)
    held.recorded(session(Verdict.PRESERVED, 1150.0), 1151.0)
    assert [gap.ended for gap in seen(held).gaps] == [Edge(1002.0, 1150.0)], "nobody tried from the one to the other"
    blind = post("-----")
    for opened in (1001.0, 1003.0):  # also as the baseline: `unverified` as before is content with sessions that work
        blind.recorded(session(Verdict.UNVERIFIED, opened, fault=unable), opened + 1)
    assert seen(blind).good_since is None


@pytest.mark.parametrize("verdict", [Verdict.MASKED, Verdict.PRESERVED])
def test_what_the_server_saw_it_saw_whatever_became_of_the_session(verdict: Verdict) -> None:
    one = post("-----" + "x" * 20)
    assert not one.recorded(session(verdict, 1000.6, fault=failed(Phase.QUIT, Failure.RESET)), 1002.0).aside


def test_a_silent_way_without_knocks_is_a_gap_of_its_sessions() -> None:
    one = Post(SMTP)
    one.recorded(session(Verdict.PRESERVED, 1000.0), 1001.0)
    one.recorded(session(Verdict.SILENT_DROP, 1010.0, fault=SILENT), 1011.0)
    assert [gap.how for gap in seen(one).gaps] == [("silent_drop",)]
    assert seen(one).good_since is None
    one.recorded(session(Verdict.PRESERVED, 1020.0), 1021.0)
    assert (seen(one).good_since, seen(one).lasting) == (1020.0, None)


def test_what_is_known_of_a_moment() -> None:
    assert not Post(SMTP).knows_of(1000.0)
    assert post("---").knows_of(1000.4)
    assert not post("--x").knows_of(1000.4), "the next knock may show that it was none by chance"
    assert post("--xx").knows_of(1000.4)


def test_sessions_that_connect_amid_silence_are_noticed() -> None:
    one = post("-----" + "x" * 20)
    one.recorded(session(Verdict.PRESERVED, 1002.0), 1003.0)
    assert one.contradicted == 1


def test_a_baseline_refused_before_the_first_knock_is_of_the_gap_from_the_start() -> None:
    one = post("rrrrr", 1001.5)
    refused = failed(Phase.CONNECT, Failure.REFUSED)
    assert one.recorded(session(Verdict.REFUSED, 1000.0, fault=refused), 1002.0).aside
    (gap,) = seen(one).gaps
    assert (gap.kind, gap.from_the_start, gap.judgement and gap.judgement.verdict) == (
        GapKind.UNREACHABLE,
        True,
        Verdict.REFUSED,
    )
    knocked(one, "---", 1002.5)
    one.recorded(session(Verdict.PRESERVED, 1003.0), 1004.0)
    assert [gap.kind for gap in seen(one).gaps] == [GapKind.UNREACHABLE]


def test_a_baseline_that_somebody_answered_is_of_no_gap_that_began_later() -> None:
    one = post("rrrrr", 1001.5)
    mute = session(Verdict.NO_GREETING, 1000.0, fault=failed(Phase.GREETING, Failure.TIMED_OUT))
    assert not one.recorded(replace(mute, session=replace(mute.session, connected=1000.1)), 1002.0).aside


def served_after(seconds: float, opened: float, *, fault: Fault | None = None) -> Result:
    """A session whose server's first octet came so late."""
    judged = session(Verdict.PRESERVED if fault is None else Verdict.NO_GREETING, opened, fault=fault)
    phases = tuple(
        PhaseTiming(phase=one, seconds=took) for one, took in ((Phase.CONNECT, 0.5), (Phase.FIRST_BYTE, seconds))
    )
    return replace(judged, session=replace(judged.session, connected=opened + 0.5, closed=opened + 40, phases=phases))


def test_who_was_served_late_shows_that_the_server_is_well_when_it_answered() -> None:
    """A kernel accepts for a program that hangs, and the program serves what has waited."""
    one = post("-" * 500)
    one.recorded(session(Verdict.PRESERVED, 1000.0), 1001.0)
    hung = failed(Phase.FIRST_BYTE, Failure.TIMED_OUT)
    assert one.recorded(served_after(30.0, 1010.0, fault=hung), 1051.0).shown == 1010.5, (
        "it connected, and that was all"
    )
    assert one.recorded(served_after(22.0, 1060.0), 1101.0).shown == 1082.5
    assert seen(one).good_since == 1082.5
    assert [gap.ended for gap in seen(one).gaps] == [Edge(1081.5, 1082.5)], "it hung until then"


def test_a_session_in_flight_as_the_server_ends_is_of_that_gap() -> None:
    """Its connection broke between the last SYN that was answered and the first that was not, or right before."""
    one = post("-" * 50 + "x" * 10 + "---")
    broke = failed(Phase.FIRST_BYTE, Failure.CLOSED)
    for closed in (1009.81, 1009.2):
        judged = session(Verdict.NO_GREETING, 1005.0, fault=broke)
        assert one.recorded(replace(judged, session=replace(judged.session, closed=closed)), 1012.0).aside
    assert [gap.kind for gap in seen(one).gaps] == [GapKind.UNREACHABLE]


def test_who_is_refused_and_then_not_greeted_is_out_all_the_time() -> None:
    one = post("-----rrrrr-----")
    one.recorded(session(Verdict.PRESERVED, 1000.1), 1000.2)
    mute = failed(Phase.GREETING, Failure.CLOSED)
    one.recorded(session(Verdict.NO_GREETING, 1002.3, fault=mute), 1004.0)
    refused, silent = seen(one).gaps
    assert (refused.kind, silent.kind, silent.began) == (GapKind.UNREACHABLE, GapKind.CRITICAL, refused.ended)
    assert len(outages(seen(one))) == 1


def test_what_is_feared_of_a_session_that_failed_is_what_is_written_down() -> None:
    """Not greeted, well, refused, and not greeted: what nobody saw between is left out of what is certain."""
    one = post("-" * 50 + "r" * 25 + "-" * 30)
    for at, verdict, fault in ((1000.1, Verdict.PRESERVED, None), (1003.0, Verdict.NO_GREETING, CLOSED)):
        one.recorded(result(verdict, opened=at, connected=at, closed=at + 0.1, fault=fault), at + 0.2)
    mute = result(Verdict.NO_GREETING, opened=1015.2, connected=1015.2, closed=1016.0, fault=CLOSED)
    feared = one.told(0.2, failed=mute).feared
    one.recorded(mute, 1016.1)
    assert seen(one).gaps == feared
    (whole,) = outages(seen(one))
    assert (whole.how, round(whole.certain, 2)) == (("no_greeting", "refused"), 6.0)
    assert one.told(0.2, failed=session(Verdict.SERVICE_ERROR, 1017.0, fault=CLOSED)).feared is None


def test_a_hang_that_no_session_failed_of_is_an_outage_of_the_time_it_was_waited_for() -> None:
    """What the way there took, or a handshake, is no part of it."""
    one = post("-" * 500)
    one.recorded(served_after(0.2, 1000.0), 1001.0)
    assert one.recorded(served_after(27.0, 1020.0), 1061.0).waited == 27.0
    (waited,) = seen(one).gaps
    assert (waited.kind, waited.began) == (GapKind.WAITED, Edge(1000.7, 1020.5))
    assert waited.ended is not None
    assert (round(waited.ended.by, 1), 25 < waited.seconds <= 27) == (1047.5, True)


def test_a_session_whose_connection_broke_may_have_been_well_until_then() -> None:
    one = post("-" * 100)
    one.recorded(session(Verdict.PRESERVED, 1000.0), 1001.0)
    broke = session(Verdict.NO_GREETING, 1005.0, fault=failed(Phase.FIRST_BYTE, Failure.CLOSED))
    one.recorded(replace(broke, session=replace(broke.session, connected=1005.1, closed=1014.0)), 1015.0)
    assert [gap.began for gap in seen(one).gaps] == [Edge(1000.0, 1014.0)]


OLD, NEW = ip_address("10.0.20.202"), ip_address("10.0.20.203")


def in_flight(opened: float, closed: float) -> Result:
    """A session to the old address that waited for its greeting as the server there ended."""
    broke = session(Verdict.NO_GREETING, opened, fault=failed(Phase.FIRST_BYTE, Failure.CLOSED))
    return replace(broke, session=replace(broke.session, address=OLD, connected=opened, closed=closed))


@pytest.mark.parametrize(("at", "aside"), [(1006.0, True), (1002.0, False)], ids=["before", "since"])
def test_one_in_flight_as_the_name_came_to_mean_another_address_is_no_outage(at: float, *, aside: bool) -> None:
    """Nobody who asks for the name since then is led there; who was opened after it was, by a name that means both."""
    one = post("-" * 50)
    one.address = OLD
    one.recorded(session(Verdict.PRESERVED, 1001.0), 1001.5)
    one.address = NEW
    one.moved(at - 2.0, at)
    closed = in_flight(1004.0, 1009.0)
    assert one.recorded(closed, 1015.0).aside is aside
    assert [gap.kind for gap in seen(one).gaps] == ([] if aside else [GapKind.CRITICAL])
    assert (seen(one).good_since is not None) is aside
    under_way = Beat(one, opened=1004.0).under_way(closed.session, Networks())
    assert under_way is not None
    assert (under_way.failed is None) is aside, "nor is it one while its evidence is looked for"


def test_what_follows_at_the_new_address_is_no_outage_of_one_in_flight_at_the_old() -> None:
    one = post("-" * 50)
    one.address = NEW
    one.moved(1004.0, 1006.0)
    knocked(one, "-" * 10 + "r" * 10 + "---", 1010.0)
    one.recorded(in_flight(1004.0, 1009.0), 1015.0)
    assert [gap.kind for gap in seen(one).gaps] == [GapKind.UNREACHABLE]
