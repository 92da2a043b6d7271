"""What answers at an address beside a port that does not: told only where it did so while that one failed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from probe.model import Control, ControlKind, Failure, Phase, Service, Session, Verdict
from probe.service.beside import LATELY, Beside
from probe.service.once import once
from probe.service.workshop import quiet
from probe.settings import load
from tests.builders import failed, smtp_session
from tests.sessions.peers import Certificates, Peer, Town
from tests.sessions.running import deaf

REFUSED = failed(Phase.CONNECT, Failure.REFUSED)
LOST_SINCE = {
    "fault": failed(Phase.GREETING, Failure.CLOSED),
    "controls": (Control(kind=ControlKind.LOCAL_HEADER, worked=False, seconds=0.1, fault=REFUSED),),
}


def at(opened: float, port: int, **changes: Any) -> Session:
    """A session that was answered at once and worked for a second."""
    return smtp_session(opened=opened, connected=opened + 0.01, closed=opened + 1, port=port, **changes)


def lost(opened: float, port: int = 587, failure: Failure = Failure.UNREACHABLE) -> Session:
    """One that was not answered, for 3 s."""
    return replace(at(opened, port, fault=failed(Phase.CONNECT, failure)), connected=None, closed=opened + 3)


@pytest.mark.parametrize(
    ("sessions", "told"),
    [
        ([at(100, 25), lost(100)], [25]),  # of one round
        ([at(99.9, 25), lost(100)], [25]),
        ([at(98, 25), lost(100)], []),  # the address may have gone since
        ([at(102, 25), lost(100)], []),  # or be back since
        ([at(100.3, 25), lost(100)], [25]),
        ([lost(100), at(130.3, 25), lost(130)], []),
        ([lost(100), at(115, 25), lost(130)], [25]),
        ([lost(100), at(115, 25), lost(130), at(132, 25), lost(160)], [25]),
        ([lost(100), at(115, 25), at(130, 587), lost(160)], []),
        ([lost(100), at(115, 25), lost(120, 25), lost(130)], []),  # nothing answers any more
        ([lost(100), at(115, 25), at(116, 993), lost(130, 587, Failure.TIMED_OUT)], [25, 993]),
        ([lost(100), at(115, 25, address=ip_address("10.0.20.203")), lost(130)], []),
        ([lost(100), at(115, 25, **LOST_SINCE), lost(130)], []),
        ([lost(100), at(115, 25, fault=failed(Phase.GREETING, Failure.REJECTED)), lost(130)], [25]),
        ([lost(100), at(115, 25), lost(130, 587, Failure.VANTAGE), lost(145)], [25]),
        ([lost(100), at(115, 25), at(116 + LATELY, 993), lost(117 + LATELY)], []),
        ([lost(100), at(115, 25), at(130, 587)], []),
    ],
)
def test_what_answered_while_this_port_did_not(sessions: list[Session], told: list[int]) -> None:
    beside = Beside()
    for session in sessions:
        beside.note(session)
    assert [one.port for one in beside.answered(sessions[-1])] == told


def test_a_name_that_was_not_resolved_is_nowhere() -> None:
    beside, session = Beside(), replace(lost(100), address=None)
    beside.note(session)
    assert beside.answered(session) == ()


async def test_a_round_says_that_it_is_the_port(tmp_path: Path) -> None:
    Certificates.make(str(tmp_path))
    with Town() as town, deaf() as port:
        smtp = town.open(Peer(service=Service.SMTP))
        file = tmp_path / "mailprobe.yaml"
        file.write_text(
            f"paths: [{{name: vip, host: 127.0.0.1, endpoints: [{{service: smtp, port: {smtp.port}}}, "
            f"{{service: submission, port: {port}}}], tls: {{verify: false}}}}]\n"
            "timeouts: {connect: 300ms, session: 2s, evidence: 100ms}\n"
        )
        done = await once(load(file, environment={}, hostname="host"), [], 0.0, quiet)
    judged = done.results[1].judgement
    assert judged.verdict is Verdict.SILENT_DROP
    assert judged.cause == (
        f"Port {port} is probably missing in the Service, or a filter or a ban keeps it out, or its server takes no "
        f"more connections: smtp ({smtp.port}) at 127.0.0.1 answered meanwhile."
    )
