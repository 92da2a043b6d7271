"""Correlation: what may be linked, and above all what may not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from math import inf
from random import Random
from types import MappingProxyType

import pytest

from probe.evidence.correlate import search
from probe.evidence.events import Connected, Disconnected, FaultLine, IdSent, Line, Observed, Rejected, SessionId, Stamp
from probe.evidence.moments import CROWDED, STRAYED
from probe.evidence.ours import Ours
from probe.evidence.scene import SETTLE, Clocks, Offset, Scene
from probe.model import (
    Address,
    Beat,
    Control,
    ControlKind,
    Count,
    EndpointName,
    Failure,
    FaultSign,
    IdMoment,
    IdMoments,
    Imprint,
    ImprintKind,
    Link,
    Peer,
    Phase,
    Service,
    Session,
    Sighting,
    Span,
)
from tests.builders import (
    FINGERPRINT,
    NODE,
    OURS,
    Said,
    failed,
    id_moments,
    imaps_session,
    login_line,
    observed,
    smtp_session,
    tally,
)

LATER = 110.0


def sightings(session: Session, *lines: Observed, **scene: object) -> tuple[Sighting, ...]:
    return search(session, Scene(observed=lines, now=LATER, **scene)).evidence.sightings  # type: ignore[arg-type]


def reasons(session: Session, *lines: Observed) -> str:
    return "; ".join(search(session, Scene(observed=lines, now=LATER)).evidence.reasons)


def left(address: object = NODE, counts: object = FINGERPRINT, port: int | None = None) -> Disconnected:
    return Disconnected(client=Peer(address, port), tally=counts)  # type: ignore[arg-type]


class TestFingerprint:
    def test_the_one_line_that_counts_our_commands(self) -> None:
        (found,) = sightings(smtp_session(), observed(left()))
        assert (found.address, found.link) == (NODE, Link.FINGERPRINT)

    def test_two_lines_that_fit_equally_well_prove_nothing(self) -> None:
        first, second = observed(left(), pid=7), observed(left(OURS.address), pid=8)
        assert sightings(smtp_session(), first, second) == ()
        assert "fit equally well" in reasons(smtp_session(), first, second)

    def test_two_lines_with_one_address_prove_nothing_either(self) -> None:
        assert sightings(smtp_session(), observed(left(), pid=7), observed(left(), pid=8)) == ()

    def test_the_same_line_from_two_sources_is_one(self) -> None:
        elsewhere = observed(left(), source="loki:x", stamp=Stamp(101.0, 1.0))
        assert len(sightings(smtp_session(), observed(left()), elsewhere)) == 1

    def test_different_lines_from_two_sources_prove_nothing(self) -> None:
        one, other = observed(left(), pid=7), observed(left(OURS.address), pid=8, source="loki:x")
        assert sightings(smtp_session(), one, other) == ()

    @pytest.mark.parametrize(
        "counts",
        [
            {**FINGERPRINT, "noop": Count(5, 5)},
            {**FINGERPRINT, "noop": Count(3, 4)},
            {**FINGERPRINT, "mail": Count(1, 1)},
            {verb: count for verb, count in FINGERPRINT.items() if verb != "quit"},
        ],
        ids=["one more", "one refused", "one verb more", "one verb less"],
    )
    def test_every_count_must_be_equal(self, counts: dict[str, Count]) -> None:
        assert sightings(smtp_session(), observed(left(counts=counts))) == ()

    def test_a_line_from_before_our_quit_is_not_ours(self) -> None:
        assert sightings(smtp_session(), observed(left(), arrival=100.5)) == ()

    def test_our_address_with_another_port_is_somebody_else_on_our_host(self) -> None:
        assert sightings(smtp_session(), observed(left(OURS.address, port=1))) == ()

    def test_a_crowd_like_us_makes_a_single_match_worthless(self) -> None:
        crowd = [observed(left(counts=tally(ehlo=2, noop=1, rset=n, quit=1)), pid=n) for n in range(40)]
        assert sightings(smtp_session(), observed(left(), pid=999), *crowd) == ()
        assert len(sightings(smtp_session(), observed(left(), pid=999), *crowd[:10])) == 1

    def test_ordinary_clients_are_no_crowd(self) -> None:
        crowd = [observed(left(counts=tally(ehlo=1, mail=1, rcpt=1, data=1, quit=1)), pid=n) for n in range(500)]
        assert len(sightings(smtp_session(), observed(left(), pid=999), *crowd)) == 1

    def test_a_rival_may_be_on_its_way_so_it_settles_later(self) -> None:
        line = observed(left(), arrival=101.02)
        assert not search(smtp_session(), Scene(observed=[line], now=101.1)).settled
        assert search(smtp_session(), Scene(observed=[line], now=101.03 + SETTLE)).settled

    def test_the_slower_our_line_the_longer_it_takes_to_settle(self) -> None:
        line = observed(left(), arrival=103.0)
        assert not search(smtp_session(), Scene(observed=[line], now=106.9)).settled
        assert search(smtp_session(), Scene(observed=[line], now=107.1)).settled

    def test_no_imprint_no_link(self) -> None:
        assert sightings(smtp_session(imprint=Imprint(kind=ImprintKind.NONE)), observed(left(counts={}))) == ()


class TestPort:
    def test_our_own_address_and_port(self) -> None:
        (found,) = sightings(smtp_session(), observed(Connected(client=OURS), arrival=100.2))
        assert (found.address, found.port, found.link) == (OURS.address, OURS.port, Link.PORT)
        assert search(smtp_session(), Scene(observed=[observed(Connected(client=OURS))], now=101.02)).settled

    def test_another_session_of_ours_with_the_same_port_makes_it_worthless(self) -> None:
        other = smtp_session(id="other", path="direct")
        assert sightings(smtp_session(), observed(Connected(client=OURS)), others=Ours([other])) == ()

    def test_a_line_from_before_the_session_is_not_ours(self) -> None:
        assert sightings(smtp_session(), observed(Connected(client=OURS), arrival=99.9)) == ()

    def test_the_port_alone_proves_nothing(self) -> None:
        """A NAT may have kept it; a stranger may have drawn it."""
        assert sightings(smtp_session(), observed(Connected(client=Peer(NODE, OURS.port)))) == ()
        assert sightings(imaps_session(), observed(login_line(5.0, Peer(NODE, OURS.port)))) == ()

    def test_the_port_of_two_clients_proves_nothing(self) -> None:
        strangers = [observed(Connected(client=Peer(ip_address(f"10.0.20.{n}"), OURS.port)), pid=n) for n in (1, 2)]
        assert sightings(smtp_session(), *strangers) == ()

    def test_dovecot_s_lines_are_not_for_smtp_nor_postfix_s_for_imaps(self) -> None:
        assert sightings(smtp_session(), observed(login_line(5.0, OURS))) == ()
        assert sightings(imaps_session(), observed(Connected(client=OURS))) == ()


class TestToken:
    def test_in_the_helo_of_a_reject(self) -> None:
        session = smtp_session(imprint=Imprint(kind=ImprintKind.REJECT, token="abc123"))
        line = Rejected(client=Peer(NODE), verb="RCPT", reply="554 no", helo="abc123.probe.mailprobe.invalid")
        (found,) = sightings(session, observed(line, arrival=100.5))
        assert (found.address, found.link) == (NODE, Link.TOKEN)

    def test_in_an_id_command(self) -> None:
        session = imaps_session(imprint=Imprint(kind=ImprintKind.ID, token="abc123"))
        identity = SessionId("x", 5.0, Peer(NODE, 99))
        line = IdSent(client=Peer(NODE), fields={"token": "abc123"}, session=identity)
        (found,) = sightings(session, observed(line, arrival=100.5))
        assert (found.address, found.port, found.link) == (NODE, 99, Link.TOKEN)

    def test_with_two_addresses_proves_nothing(self) -> None:
        session = smtp_session(imprint=Imprint(kind=ImprintKind.REJECT, token="abc123"))
        lines = [
            observed(Rejected(client=Peer(address), verb="RCPT", reply="554 no", helo="abc123.x"))
            for address in (NODE, OURS.address)
        ]
        assert sightings(session, *lines) == ()


class TestSessionId:
    def test_our_own_address_and_port_in_the_session_id(self) -> None:
        (found,) = sightings(imaps_session(), observed(login_line(5.0, OURS)))
        assert (found.address, found.link) == (OURS.address, Link.SESSION_ID)

    def test_a_single_anonymous_line_is_not_ours_because_it_is_alone(self) -> None:
        """Quiet server, no login, another address and port: only a rhythm can tell."""
        assert sightings(imaps_session(), observed(login_line(100.1, Peer(NODE, 1)))) == ()

    def test_a_session_id_that_contradicts_its_line_is_no_evidence(self) -> None:
        forged = replace(login_line(5.0, OURS), client=Peer(NODE))
        assert all(found.address != OURS.address for found in sightings(imaps_session(), observed(forged)))


def beats(count: int, random: Random) -> tuple[Beat, ...]:
    """Beats after the session, with a random spacing."""
    connected, found = 101.0, []
    for _ in range(count):
        connected += random.uniform(0.04, 0.2)
        found.append(Beat(id_moments=id_moments(connected)))
    return tuple(found)


def rhythm_lines(session: Session, moment: IdMoment, random: Random, *, jitter: float, clock: float) -> list[Observed]:
    """What Dovecot logs of a session and its beats behind SNAT, on a clock of its own, through a slow shipper."""
    return [
        observed(
            login_line(
                moments[moment].start + clock + random.uniform(0, jitter), Peer(NODE, random.randrange(1024, 65535))
            ),
            arrival=moments[IdMoment.NEEDED].end + random.uniform(0, 2),
        )
        for moments in (session.id_moments, *(beat.id_moments for beat in session.beats))
    ]


def answered_in(seconds: float, moments: IdMoments) -> IdMoments:
    """The same moments, of a connection whose answers took so long."""
    return {moment: Span(span.start, span.start + seconds) for moment, span in moments.items()}


def stranger_line(at: float, number: int, random: Random, *, clock: float = 0.0, address: Address = NODE) -> Observed:
    """A session like ours of somebody else, accepted at this moment of our clock."""
    return observed(login_line(at + clock, Peer(address, number)), arrival=at + random.uniform(0.03, 2))


class TestRhythm:
    @pytest.mark.parametrize("clock", [0.0, 240.0, -7200.0, 86_400.0])
    @pytest.mark.parametrize(("moment", "jitter"), [(IdMoment.ACCEPTED, 0.008), (IdMoment.NEEDED, 0.0005)])
    def test_found_among_strangers_whatever_the_clock_says(self, moment: IdMoment, jitter: float, clock: float) -> None:
        random = Random(1)
        session = imaps_session(beats=beats(8, random))
        ours = rhythm_lines(session, moment, random, jitter=jitter, clock=clock)
        strangers = [stranger_line(random.uniform(100, 108), n, random, clock=clock) for n in range(1, 12)]
        lines = [*ours, *strangers]
        random.shuffle(lines)
        (found,) = sightings(session, *lines)
        assert (found.link, found.line) == (Link.RHYTHM, ours[0].raw)

    def test_never_a_stranger_s_line_when_ours_are_lost(self) -> None:
        """A shipper that drops our lines: whatever fits by chance must not count."""
        wrong = 0
        for seed in range(300):
            random = Random(seed)
            session = imaps_session(beats=beats(4 * random.randint(1, 5), random))
            strangers = [stranger_line(random.uniform(100, 108), n, random) for n in range(1, 80)]
            wrong += bool(sightings(session, *strangers))
        assert wrong <= 2  # RHYTHM_CHANCE is 1 in 1,000

    def test_another_probe_s_beats_are_no_rhythm_of_ours(self) -> None:
        """Ours are lost; strangers come as a burst of our own kind, and a single line long after it."""
        wrong = 0
        for seed in range(300):
            random = Random(seed)
            session = imaps_session(beats=beats(4, random))
            late = random.uniform(0, 3)
            moments = (session.id_moments, *(beat.id_moments for beat in beats(4, random)))
            burst = [late + one[IdMoment.ACCEPTED].start for one in moments]
            strangers = [stranger_line(at, number, random) for number, at in enumerate([*burst, 114.0], 1)]
            wrong += bool(sightings(session, *strangers))
        assert wrong <= 2

    def test_found_by_when_lines_arrive_where_the_server_makes_ids_at_random_times(self) -> None:
        """Dovecot 2.4 that forks for every connection under load: its ids jitter, its lines come at once."""
        random = Random(7)
        session = imaps_session(beats=beats(8, random))
        spans = [session.id_moments[IdMoment.NEEDED], *(beat.id_moments[IdMoment.NEEDED] for beat in session.beats)]
        ours = [
            observed(login_line(span.start - random.uniform(0, 0.2), Peer(NODE, n)), arrival=span.end + 0.005)
            for n, span in enumerate(spans, 50_000)
        ]
        strangers = [
            observed(login_line(at, Peer(NODE, n)), arrival=at + random.uniform(0, 0.05))
            for n, at in enumerate((100.3 + random.uniform(0, 4) for _ in range(20)), 1000)
        ]
        (found,) = sightings(session, *strangers, *ours)
        assert (found.link, found.line) == (Link.RHYTHM, ours[0].raw)

    def test_a_beat_whose_line_is_missing_leaves_a_gap(self) -> None:
        random = Random(3)
        session = imaps_session(beats=beats(4, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0002, clock=0)
        assert len(sightings(session, *lines)) == 1
        assert sightings(session, *lines[:-1]) == ()

    def test_two_sessions_with_the_same_rhythm_prove_nothing(self) -> None:
        random = Random(4)
        session = imaps_session(beats=beats(4, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0002, clock=0)
        echo = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0002, clock=3)
        assert sightings(session, *lines, *echo) == ()

    def test_a_neighbour_of_the_first_line_makes_it_worthless(self) -> None:
        """A stranger came in with us, to the millisecond: the beats cannot tell which of the two is the session."""
        random = Random(8)
        session = imaps_session(beats=beats(8, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0004, clock=0)
        neighbour = stranger_line(session.id_moments[IdMoment.NEEDED].start + 0.0006, 5, random)
        alone, beside = (search(session, Scene(observed=seen, now=LATER)) for seen in (lines, [neighbour, *lines]))
        assert (len(alone.evidence.sightings), alone.crowded) == (1, False)
        assert (beside.evidence.sightings, beside.crowded) == ((), True)
        assert CROWDED in beside.evidence.reasons

    def test_how_long_the_way_is_makes_no_crowd(self) -> None:
        """Answers take 0.2 s: a line 0.1 s beside ours is a stranger's, unless only our own took so long."""
        random = Random(8)
        session = imaps_session(beats=beats(8, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0004, clock=0)
        neighbour = stranger_line(session.id_moments[IdMoment.NEEDED].start + 0.1, 5, random)
        crowded = []
        for seconds in (0.2, 0.01):
            answered = [replace(beat, id_moments=answered_in(seconds, beat.id_moments)) for beat in session.beats]
            far = replace(session, id_moments=answered_in(0.2, session.id_moments), beats=tuple(answered))
            crowded.append(search(far, Scene(observed=[neighbour, *lines], now=LATER)).crowded)
        assert crowded == [False, True]

    def test_a_line_that_came_before_our_logout_is_not_ours(self) -> None:
        """The same neighbour, but its line was there before we had said LOGOUT."""
        random = Random(8)
        session = imaps_session(beats=beats(8, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0004, clock=0)
        neighbour = stranger_line(session.id_moments[IdMoment.NEEDED].start + 0.0006, 5, random)
        early = replace(neighbour, arrival=session.id_moments[IdMoment.NEEDED].start - 0.01)
        (found,) = sightings(session, early, *lines)
        assert found.line == lines[0].raw

    def test_the_address_is_that_of_the_beats(self) -> None:
        """Our own line is lost; a stranger's from elsewhere stands where ours should: no sighting."""
        random = Random(5)
        session = imaps_session(beats=beats(8, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0002, clock=0)[1:]
        stranger = stranger_line(session.id_moments[IdMoment.NEEDED].start, 5, random, address=OURS.address)
        assert sightings(session, stranger, *lines) == ()

    @pytest.mark.parametrize(("address", "links"), [(OURS.address, []), (NODE, [Link.RHYTHM])])
    def test_beats_that_went_another_way_in_are_known_by_their_own_address_and_port(
        self, address: Address, links: list[Link]
    ) -> None:
        random = Random(5)
        known = tuple(replace(beat, client=Peer(OURS.address, n)) for n, beat in enumerate(beats(4, random), 50_000))
        session = imaps_session(beats=known)
        masked, *_ = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0002, clock=0)
        later = [
            stranger_line(beat.id_moments[IdMoment.NEEDED].start, n, random, address=address)
            for n, beat in enumerate(known, 50_000)
        ]
        found = search(session, Scene(observed=[masked, *later], now=LATER))
        assert [sighting.link for sighting in found.evidence.sightings] == links
        assert found.strayed is not bool(links)
        assert (STRAYED in found.evidence.reasons) is not bool(links)

    def test_a_logged_in_session_is_looked_for_among_its_user_s_lines(self) -> None:
        random = Random(6)
        imprint = Imprint(kind=ImprintKind.LOGIN, user="probe@example.org")
        session = imaps_session(imprint=imprint, beats=beats(4, random))
        lines = rhythm_lines(session, IdMoment.NEEDED, random, jitter=0.0002, clock=0)
        at = session.id_moments[IdMoment.NEEDED].start
        ours = observed(login_line(at, Peer(NODE, 9), user="Probe@Example.org"), arrival=at + 1)
        other = observed(login_line(at, Peer(NODE, 8), user="someone@example.org"), arrival=at + 1)
        assert sightings(session, *lines[1:], other) == ()
        (found,) = sightings(session, *lines[1:], ours, other)
        assert found.line == ours.raw


class TestTime:
    CLOCK: Clocks = MappingProxyType({("file:/log", IdMoment.NEEDED): Offset(179.9995, 180.0005, sightings=2)})

    def at(self, shift: float = 0.0) -> Observed:
        made = imaps_session().id_moments[IdMoment.NEEDED].start + 180.001 + shift
        return observed(login_line(made, Peer(NODE, int(1000 + shift * 1e4))))

    def test_the_only_line_at_the_time_on_a_known_clock_minutes_off(self) -> None:
        (found,) = sightings(imaps_session(), self.at(), clocks=self.CLOCK)
        assert (found.address, found.link) == (NODE, Link.TIME)

    def test_without_a_known_clock_nothing_is_linked_by_time(self) -> None:
        assert sightings(imaps_session(), self.at()) == ()

    def test_one_sighting_alone_does_not_make_a_clock_known(self) -> None:
        clocks = {key: replace(offset, sightings=1) for key, offset in self.CLOCK.items()}
        assert sightings(imaps_session(), self.at(), clocks=clocks) == ()

    def test_two_lines_at_the_time_prove_nothing(self) -> None:
        assert sightings(imaps_session(), self.at(), self.at(0.0005), clocks=self.CLOCK) == ()

    def test_a_line_at_another_time_is_not_ours(self) -> None:
        assert sightings(imaps_session(), self.at(0.1), clocks=self.CLOCK) == ()

    def test_another_source_has_another_clock(self) -> None:
        clocks = {("loki:x", IdMoment.NEEDED): Offset(179.9995, 180.0005, sightings=2)}
        assert sightings(imaps_session(), self.at(), clocks=clocks) == ()

    def test_a_busy_server_makes_a_single_line_worthless(self) -> None:
        crowd = [self.at(1 + n / 100) for n in range(100)]
        assert sightings(imaps_session(), self.at(), *crowd, clocks=self.CLOCK) == ()

    def test_it_says_when_a_line_that_chance_may_give_will_tell_and_then_it_does(self) -> None:
        session, wide = imaps_session(), {key: replace(one, high=180.0045) for key, one in self.CLOCK.items()}
        early = search(session, Scene(observed=[self.at()], now=session.opened + 1.0, clocks=wide))
        assert early.evidence.sightings == ()
        assert session.opened + 2.0 < early.tells < session.opened + 4.0
        later = search(session, Scene(observed=[self.at()], now=early.tells, clocks=wide))
        assert [sighting.link for sighting in later.evidence.sightings] == [Link.TIME]

    def test_it_waits_for_no_line_among_many(self) -> None:
        session, crowd = imaps_session(), [self.at(1 + n / 100) for n in range(100)]
        found = search(session, Scene(observed=[self.at(), *crowd], now=session.opened + 5.0, clocks=self.CLOCK))
        assert found.tells == inf

    def test_an_exact_sighting_tells_the_clock_on_both_assumptions(self) -> None:
        found = search(imaps_session(), Scene(observed=[observed(login_line(280.125, OURS))], now=LATER))
        assert found.clocks["file:/log", IdMoment.NEEDED].low == pytest.approx(179.993)
        assert found.clocks["file:/log", IdMoment.ACCEPTED].high == pytest.approx(180.025)

    def test_clocks_that_contradict_each_other_start_anew(self) -> None:
        known = Offset(1.0, 2.0, sightings=5)
        assert known.narrowed(Offset(1.5, 3.0)) == Offset(1.5, 2.0, sightings=6)
        assert known.narrowed(Offset(9.0, 9.5)) == Offset(9.0, 9.5, sightings=1)


def test_every_search_without_a_sighting_gives_reasons() -> None:
    assert "disconnect lines" in reasons(smtp_session())
    assert "clock" in reasons(imaps_session())


@pytest.mark.parametrize(("until", "found"), [(99.9, 1), (100.0, 0), (100.9, 0)])
def test_where_lines_were_dropped_since_the_session_opened_nothing_is_weighed(until: float, found: int) -> None:
    """A rival, or a hundred that look alike, may be among those that are gone."""
    assert len(sightings(smtp_session(), observed(left()), forgotten_until=until)) == found
    own = observed(Connected(client=OURS))
    assert len(sightings(smtp_session(), own, forgotten_until=until)) == 1


class TestSigns:
    """Dovecot's fault lines name an address at most: which of our sessions is meant they do not say."""

    UNTRUSTED = FaultLine(sign=FaultSign.PROXY_HEADER_UNTRUSTED, client=Peer(OURS.address))
    FELL = failed(Phase.TLS, Failure.CLOSED)

    def disputed(self, *others: Session, underway: tuple[EndpointName, ...] = ()) -> bool:
        session = imaps_session(fault=self.FELL)
        line = Observed(Said(self.UNTRUSTED, Line(message="", program="dovecot", pid=1), ""), 101.02, "file:/log")
        (sign,) = search(
            session, Scene(observed=[line], others=Ours([session, *others]), underway=underway, now=LATER)
        ).evidence.signs
        return sign.disputed

    def test_a_session_alone_is_meant(self) -> None:
        assert not self.disputed(imaps_session(id="other"), smtp_session(id="third", fault=self.FELL))

    def test_another_that_fell_may_be_meant(self) -> None:
        assert self.disputed(imaps_session(id="other", path="proxy", fault=self.FELL))

    def test_another_that_fell_before_is_not_meant(self) -> None:
        assert not self.disputed(imaps_session(id="other", path="proxy", fault=self.FELL, opened=90.0, closed=91.0))

    def test_its_control_connections_may_be_meant(self) -> None:
        control = Control(kind=ControlKind.LOCAL_HEADER, worked=False, seconds=9.5)
        before = imaps_session(id="other", path="proxy", fault=self.FELL, opened=90.0, closed=91.0, controls=(control,))
        assert self.disputed(before)

    def test_one_that_is_being_opened_may_be_meant(self) -> None:
        assert self.disputed(underway=(EndpointName("proxy", Service.IMAPS, 993),))
        assert not self.disputed(underway=(EndpointName("proxy", Service.SMTP, 25),))

    def test_others_on_this_path_share_its_fault(self) -> None:
        """HAProxy's header, say, is not wanted by any of the listeners behind it."""
        assert not self.disputed(
            imaps_session(id="other", port=1993, fault=self.FELL), underway=(EndpointName("vip", Service.IMAPS, 993),)
        )
