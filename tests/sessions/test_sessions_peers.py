"""Every row of the tables: verdict, phase and rule, and nothing left behind: no noise, task, descriptor or secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from probe.model import Phase, Service
from probe.sessions.journal import KEPT_CHARACTERS, KEPT_LINES
from tests.sessions.peers import Certificates, Peer, Town
from tests.sessions.rows import CONNECTION, FLOODS, TLS, Row
from tests.sessions.rows_of_words import HEADERS, WORDS
from tests.sessions.running import LONGEST, PASSWORD, SOON, USER, Noise, Outcome, endpoint, outcomes, run_quietly

ROWS = (*CONNECTION, *FLOODS, *TLS, *WORDS, *HEADERS)
CASES = {f"{row.name}/{service}": (row, service) for row in ROWS for service in row.services}
SECRETS = (
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode(),
)
pytestmark = pytest.mark.xdist_group("peers")  # all rows are run once, so they belong to one worker

SLACK = 1.0
"""Seconds beyond the session's timeout: a busy machine, and the farewell."""


@dataclass
class Run:
    """All outcomes of one run of the tables."""

    found: dict[str, Outcome | BaseException]
    noise: Noise
    left_open: set[str]


@pytest.fixture(scope="module")
def run(certificates: Certificates) -> Iterator[Run]:
    with Town() as town:
        peers = {name: town.open(_peer(row, service)) for name, (row, service) in CASES.items()}
        work = {
            name: (peer, replace(endpoint(peer), proxy_header=CASES[name][0].header)) for name, peer in peers.items()
        }
        found: dict[str, Outcome | BaseException] = {}

        async def all_of_them() -> None:
            found.update(await outcomes(work))

        noise = run_quietly(all_of_them)
        left_open = {name for name, peer in peers.items() for visit in peer.visits if not visit.ended.wait(SOON)}
        yield Run(found, noise, left_open)


def _peer(row: Row, service: Service) -> Peer:
    made = Certificates.shared()
    peer = Peer(service=service, acts=row.acts, capabilities=row.capabilities)
    peer.offers = row.offers if row.offers is not None else peer.offers
    peer.context = row.certificate(made) if row.certificate is not None else peer.context
    return peer


@pytest.fixture(params=sorted(CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _outcome(run: Run, name: str) -> Outcome:
    found = run.found[name]
    if isinstance(found, BaseException):
        raise found
    return found


def test_verdict_phase_and_rule(run: Run, name: str) -> None:
    row, found = CASES[name][0], _outcome(run, name)
    fault = found.session.fault
    end = (found.judgement.verdict, fault.phase if fault else None, found.judgement.rule)
    assert end == (row.verdict, row.phase, row.rule), (fault, found.session.controls)


def test_a_session_keeps_to_its_timeout(run: Run, name: str) -> None:
    session = _outcome(run, name).session
    farewell = sum(timing.seconds for timing in session.phases if timing.phase is Phase.QUIT)
    assert session.seconds - farewell < LONGEST + SLACK


def test_transcript_is_bounded_and_holds_no_secret(run: Run, name: str) -> None:
    found = _outcome(run, name)
    transcript = found.session.transcript
    assert len(transcript) <= KEPT_LINES
    assert all(len(spoken.text) <= KEPT_CHARACTERS for spoken in transcript)
    told = repr(found.session) + repr(found.judgement)
    assert not [secret for secret in SECRETS if secret in told]


def test_what_is_told_can_be_printed_on_one_line(run: Run, name: str) -> None:
    found = _outcome(run, name)
    fault, judgement = found.session.fault, found.judgement
    told = [judgement.explanation, judgement.hint, fault.detail if fault else ""]
    assert all(text.isprintable() for text in told), told
    replies = [*(spoken.text for spoken in found.session.transcript), (fault and fault.reply) or ""]
    assert all(part.isprintable() for text in replies for part in text.split("\n")), replies


def test_one_login_at_most_and_only_over_tls(run: Run, name: str) -> None:
    visits = _outcome(run, name).visits
    assert sum(visit.logins for visit in visits) <= 1
    assert not any(visit.logins for visit in visits if not visit.encrypted)
    assert not any(visit.logins for visit in visits[1:]), "a control connection logged in"


@pytest.mark.parametrize("service", list(Service))
def test_farewell_after_a_timeout_where_it_is_our_turn(run: Run, service: Service) -> None:
    """At these moments the server has greeted and reads lines; it is silent, and still hears QUIT or LOGOUT last."""
    moments = ["hello", "login", "imprint", *(() if service.tls_first else ("starttls", "hello_again"))]
    last = {moment: _outcome(run, f"silence-{moment}/{service}").visits[0].verbs[-1] for moment in moments}
    assert set(last.values()) == {"QUIT" if service.speaks_smtp else "LOGOUT"}, last


@pytest.mark.parametrize("service", list(Service))
def test_nothing_is_said_where_it_is_not_our_turn(run: Run, service: Service) -> None:
    """Before the greeting and within a handshake; what postscreen calls PREGREET counts against a client."""
    names = [f"silence-{moment}/{service}" for moment in ("accept", "greeting")]
    names += [f"{name}/{service}" for name in ("fin-in-greeting", "byte-a-second") if f"{name}/{service}" in CASES]
    assert {name: _outcome(run, name).visits[0].verbs for name in names} == {name: [] for name in names}


def test_nothing_is_left_behind(run: Run) -> None:
    assert run.noise == Noise()
    assert run.left_open == set()
