"""A login that was refused is tried again so rarely that no guard bans whoever tries, and honestly told meanwhile."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from probe.model import Endpoint, Login, Phase, Secret, Service, TlsOptions
from probe.sessions.open import open_session
from probe.sessions.refused_logins import RefusedLogins
from tests.sessions.acts import say
from tests.sessions.moment import Moment
from tests.sessions.peers import Peer, Town
from tests.sessions.running import endpoint, judged, kit

IMAPS = Endpoint(
    path="vip",
    service=Service.IMAPS,
    host="10.0.20.202",
    port=993,
    tls=TlsOptions(server_name="mail.example.org"),
    login=Login(username="probe@example.org", password=Secret("old")),
)
SUBMISSION = replace(IMAPS, service=Service.SUBMISSION, port=587)
BY_NAME = replace(IMAPS, path="name", host="mail.example.org", tls=TlsOptions())
OTHER = replace(IMAPS, path="name", host="10.0.20.203", tls=TlsOptions())
NO = "NO [AUTHENTICATIONFAILED] Authentication failed."
DAY = 86_400


def tries(*endpoints: Endpoint, refused: RefusedLogins | None = None, until: int = DAY, start: int = 0) -> list[float]:
    """When a server that refuses everything was asked, by sessions to all of these each 30 s, side by side."""
    refused, asked = refused or RefusedLogins(), []
    for turn in range(start, until, 30):
        tried = [(one, turn + 0.5 * nth) for nth, one in enumerate(endpoints)]
        tried = [(one, at) for one, at in tried if refused.begin_try(one, at) is None]
        for one, at in tried:  # a refusal comes 2 s late, when the others have begun
            refused.refused(one, NO, began=at, now=at + 2.0)
        asked += [at for _, at in tried]
    return asked


def test_a_refused_login_is_tried_once_more_and_then_less_and_less_often() -> None:
    asked = tries(IMAPS)
    assert asked[:4] == [0, 30, 210, 540]
    assert all(later - earlier <= 3660 for earlier, later in pairwise(asked))
    assert asked[-1] > DAY - 3660


def test_a_login_that_is_refused_for_months_is_tried_on() -> None:
    refused = RefusedLogins()
    for at in range(0, 1500 * 3660, 3660):
        assert refused.begin_try(IMAPS, at) is None
        refused.refused(IMAPS, NO, began=at, now=at + 2.0)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_server_is_never_asked_five_times_in_ten_minutes(count: int) -> None:
    """Four paths to one server, each with its own words for it."""
    endpoints = (IMAPS, SUBMISSION, BY_NAME, replace(BY_NAME, path="other", host="MAIL.example.org."))[:count]
    asked = tries(*endpoints)
    assert min(later - earlier for earlier, later in zip(asked, asked[4:], strict=False)) > 600
    last_hours = [at for at in asked if at > DAY - 2 * 3660]
    assert len(last_hours) >= count  # none of them starves


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_up_to_three_stay_below_five_where_the_password_changes_amid_a_round(before: int) -> None:
    refused, endpoints = RefusedLogins(), (IMAPS, SUBMISSION, BY_NAME)
    asked = tries(*endpoints[before:], refused=refused, until=30)
    asked += tries(*endpoints, refused=refused, start=30, until=3600)
    assert min(later - earlier for earlier, later in zip(asked, asked[4:], strict=False)) > 600


@pytest.mark.parametrize("first", [0, 1, 2])
def test_one_try_more_ends_a_blip_for_all_that_have_the_same_login(first: int) -> None:
    refused, endpoints = RefusedLogins(), [IMAPS, SUBMISSION, BY_NAME]
    tries(*endpoints, refused=refused, until=30)
    endpoints = endpoints[first:] + endpoints[:first]
    another = replace(endpoints[1], path="another", login=Login(username="other@example.org", password=Secret("old")))
    assert [refused.begin_try(one, 30.0) is None for one in endpoints] == [True, False, False]
    refused.refused(another, NO, began=30.0, now=30.5)
    refused.taken(endpoints[0])
    assert [refused.begin_try(one, 31.0) for one in endpoints] == [None] * 3
    assert "refused once" in str(refused.begin_try(another, 31.0))


def test_what_was_never_refused_frees_nobody() -> None:
    """Its user database may be another one."""
    refused = RefusedLogins()
    tries(IMAPS, refused=refused, until=60)
    refused.taken(SUBMISSION)
    assert refused.begin_try(IMAPS, 61.0)
    refused.refused(SUBMISSION, NO, began=61.0, now=62.0)
    refused.taken(replace(SUBMISSION, login=Login(username="probe@example.org", password=Secret("new"))))
    assert refused.begin_try(IMAPS, 63.0)  # with the old password


def test_what_was_not_refused_itself_is_tried() -> None:
    refused = RefusedLogins()
    tries(IMAPS, refused=refused, until=60)
    assert refused.begin_try(IMAPS, 61.0) == (
        f"user probe@example.org was refused 2 times, last at 00:00:32 UTC ({NO}), and is tried again at 00:03:02 UTC "
        "at the earliest"
    )
    for another in (
        SUBMISSION,
        OTHER,
        replace(IMAPS, login=Login(username="probe@example.org", password=Secret("new"))),
    ):
        assert refused.begin_try(another, 61.0) is None, another
    assert refused.begin_try(
        replace(IMAPS, imprint=SUBMISSION.imprint, at="10.0.20.202"), 61.0
    )  # as a mailbox is read back


def test_a_success_and_a_reload_let_go_of_it() -> None:
    refused = RefusedLogins()
    tries(IMAPS, OTHER, refused=refused, until=60)
    refused.taken(IMAPS)
    assert refused.begin_try(IMAPS, 61.0) is None
    assert [refused.refused_at(one, 61.0) for one in (IMAPS, OTHER)] == [32.0, 32.5]  # a ban may come yet
    assert refused.begin_try(OTHER, 61.0)
    refused.again([IMAPS, OTHER])
    assert refused.begin_try(OTHER, 61.0) is None
    refused.refused(OTHER, NO, began=61.0, now=63.0)
    assert "3 times" in str(refused.begin_try(OTHER, 64.0))  # it was tried again, and is no new one
    assert refused.refused_at(replace(OTHER, login=None), 64.0) == 63.0  # a ban shuts out others as well
    refused.again([IMAPS, replace(OTHER, login=None)])
    refused.again([IMAPS, OTHER])
    assert (refused.begin_try(OTHER, 64.0), refused.refused_at(OTHER, 64.0)) == (None, None)
    refused.refused(IMAPS, NO, began=64.0, now=65.0)
    refused.again([BY_NAME, replace(IMAPS, login=None)])
    assert refused.begin_try(BY_NAME, 126.0) is None
    assert refused.refused_at(replace(IMAPS, login=None), 126.0) is None  # no login can be taken on that path any more


def test_whoever_comes_as_far_as_the_login_is_not_banned() -> None:
    """A guard bans within seconds; and after a week nobody thinks of a ban."""
    refused, quiet = RefusedLogins(), replace(IMAPS, path="quiet")
    tries(IMAPS, refused=refused, until=60)
    for held, at, known in ((True, 90.0, 32.0), (True, 92.5, None)):
        assert (refused.begin_try(IMAPS, at) is not None, refused.refused_at(IMAPS, at)) == (held, known)
    refused.refused(IMAPS, NO, began=200.0, now=202.0)
    assert refused.begin_try(quiet, 262.0) is None  # it never tried
    others = (quiet, replace(quiet, path="third", login=None), IMAPS)
    assert [refused.refused_at(one, 262.0) for one in others] == [202.0] * 3
    assert refused.begin_try(quiet, 263.0) is None
    assert [refused.refused_at(one, 263.0) for one in others] == [None, None, 202.0]  # by another address, maybe
    refused.refused(IMAPS, NO, began=300.0, now=302.0)
    assert [refused.refused_at(IMAPS, 302.0 + 7 * DAY + late) for late in (0.0, 1.0)] == [302.0, None]


def test_a_try_that_comes_to_nothing_is_a_try() -> None:
    refused = RefusedLogins()
    tries(IMAPS, refused=refused, until=30)
    assert [refused.begin_try(IMAPS, at) is None for at in (30.0, 30.5, 60.0, 179.0, 181.0)] == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("service", "no"), [(Service.IMAPS, b"%t " + NO.encode()), (Service.SUBMISSION, b"535 5.7.8 no")]
)
async def test_a_session_that_holds_its_login_back_ends_politely_and_says_so(
    town: Town, service: Service, no: bytes
) -> None:
    peer, ours = town.open(Peer(service=service, acts={Moment.LOGIN: say(no + b"\r\n")})), kit()
    sessions = [await open_session(endpoint(peer), ours, []) for _ in range(3)]
    assert [visit.logins for visit in peer.visits] == [1, 1, 0]
    assert peer.visits[2].verbs[-1] == ("LOGOUT" if service is Service.IMAPS else "QUIT")
    held, verdict = sessions[2], judged(sessions[2])
    assert [judged(one).rule for one in sessions] == ["credentials-refused"] * 2 + ["login-held"]
    assert held.fault is not None
    assert (verdict.verdict, held.fault.phase, held.held_back, held.controls) == ("login_failed", Phase.LOGIN, True, ())
    assert Phase.LOGIN not in {timing.phase for timing in held.phases}
    assert (
        "was not asked again for a login that it refused: user probe@lab.test was refused 2 times"
        in verdict.explanation
    )
    assert "/-/reload" in verdict.hint
    assert "a credential of systemd" in verdict.hint
    mended = replace(endpoint(peer), login=Login(username="probe@lab.test", password=Secret("new")))
    await open_session(mended, ours, [])
    assert peer.visits[3].logins == 1


@pytest.mark.parametrize(
    ("service", "no"), [(Service.IMAPS, b"%t NO [UNAVAILABLE] later"), (Service.SMTP, b"454 4.7.0 later")]
)
async def test_a_server_that_cannot_check_credentials_has_not_refused_them(
    town: Town, service: Service, no: bytes
) -> None:
    peer, ours = town.open(Peer(service=service, acts={Moment.LOGIN: say(no + b"\r\n")})), kit()
    for _ in range(3):
        await open_session(endpoint(peer), ours, [])
    assert [visit.logins for visit in peer.visits] == [1, 1, 1]
