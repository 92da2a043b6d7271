"""The rules table: which facts give which verdict, and that no path says too much."""

from __future__ import annotations

import re
from dataclasses import astuple, replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import (
    Address,
    Control,
    ControlKind,
    Evidence,
    Failure,
    Fault,
    FaultSign,
    Link,
    MaskedBy,
    Networks,
    Peer,
    Phase,
    ProxyHeader,
    Service,
    Session,
    Severity,
    Sighting,
    Sign,
    Verdict,
    worst,
)
from probe.verdict.judge import RULES, foregone, judge
from probe.verdict.words import WORDS
from tests.builders import NODE, OURS, failed, imaps_session, smtp_session

NETWORKS = Networks(
    nodes=(ip_network("10.0.20.102"),),
    pods=(ip_network("10.10.0.0/16"),),
    gateways=(ip_network("10.0.20.1"),),
    proxies=(ip_network("10.0.20.5"), ip_network("fd00:20::5")),
)


def seen(*addresses: Address, signs: tuple[FaultSign, ...] = ()) -> Evidence:
    return Evidence(
        sightings=tuple(
            Sighting(address=address, port=None, link=Link.FINGERPRINT, source="file:/log", at=101.0, line="line")
            for address in addresses
        ),
        signs=tuple(Sign(sign=sign, client=None, source="file:/log", at=101.0, line="line") for sign in signs),
    )


def control(kind: ControlKind, *, worked: bool, seconds: float = 0.1, fault: Fault | None = None) -> Control:
    return Control(kind=kind, worked=worked, seconds=seconds, fault=fault)


def _again(failure: Failure, kind: ControlKind = ControlKind.CONNECT) -> Control:
    return control(kind, worked=False, seconds=5.0, fault=failed(Phase.CONNECT, failure))


AGAIN_FINE = control(ControlKind.CONNECT, worked=True)
CLOSED = failed(Phase.FIRST_BYTE, Failure.CLOSED)
ANSWERED = failed(Phase.GREETING, Failure.REJECTED, reply="421 4.3.0 try later")
SPOKE = failed(Phase.FIRST_BYTE, Failure.PROTOCOL_BROKEN)
LOCAL_WORKED = control(ControlKind.LOCAL_HEADER, worked=True)
LOCAL_FAILED = control(ControlKind.LOCAL_HEADER, worked=False, fault=CLOSED)
BARE_WORKED = control(ControlKind.NO_HEADER, worked=True)
BARE_CLOSED = control(ControlKind.NO_HEADER, worked=False, seconds=0.01, fault=CLOSED)
SILENT_CLOSED = control(ControlKind.SILENT, worked=False, fault=CLOSED)
SILENT_SPOKE = control(ControlKind.SILENT, worked=False, fault=SPOKE)
SILENT_FINE = control(ControlKind.SILENT, worked=True)

smtp, imaps = smtp_session, imaps_session
NOTHING = Evidence()
FORGED = Sighting(
    address=ip_address("192.0.2.7"), port=4000, link=Link.FINGERPRINT, source="file:/log", at=101.0, line="line"
)

CASES: list[tuple[str, Session, Evidence, Verdict]] = [
    ("vantage-cannot-open", smtp(fault=failed(Phase.CONNECT, Failure.VANTAGE)), NOTHING, Verdict.UNVERIFIED),
    ("name-not-resolved", smtp(fault=failed(Phase.RESOLVE, Failure.NAME_UNKNOWN)), NOTHING, Verdict.RESOLVE_FAILED),
    ("name-not-resolved", smtp(fault=failed(Phase.RESOLVE, Failure.TIMED_OUT)), NOTHING, Verdict.RESOLVE_FAILED),
    ("syn-unanswered", smtp(fault=failed(Phase.CONNECT, Failure.TIMED_OUT)), NOTHING, Verdict.SILENT_DROP),
    ("nobody-answers", smtp(fault=failed(Phase.CONNECT, Failure.UNREACHABLE)), NOTHING, Verdict.UNANNOUNCED),
    ("no-route-from-here", smtp(fault=failed(Phase.CONNECT, Failure.NO_ROUTE)), NOTHING, Verdict.UNANNOUNCED),
    ("connection-refused", smtp(fault=failed(Phase.CONNECT, Failure.REFUSED)), NOTHING, Verdict.REFUSED),
    ("connection-refused", smtp(fault=failed(Phase.CONNECT, Failure.RESET)), NOTHING, Verdict.REFUSED),
    *(
        (rule, smtp(fault=failed(phase, Failure.VANISHED), controls=(_again(failure),)), NOTHING, verdict)
        for phase in (Phase.GREETING, Phase.TLS, Phase.HELLO, Phase.IMPRINT)
        for rule, failure, verdict in (
            ("dropped-meanwhile", Failure.TIMED_OUT, Verdict.SILENT_DROP),
            ("unannounced-meanwhile", Failure.UNREACHABLE, Verdict.UNANNOUNCED),
            ("vantage-cut-off", Failure.VANTAGE, Verdict.UNVERIFIED),
            ("no-route-meanwhile", Failure.NO_ROUTE, Verdict.UNANNOUNCED),
            ("refused-meanwhile", Failure.REFUSED, Verdict.REFUSED),
        )
    ),
    # It failed by itself (a 421 for want of a header, say), and what was to tell more found the way in gone: a pod that
    # restarts with a mended listener, a node that is drained. To call that what the first one met would end an outage.
    *(
        (rule, smtp(fault=CLOSED, server_spoke=False, controls=(*before, _again(failure, kind))), NOTHING, verdict)
        for before, kind in (((), ControlKind.LOCAL_HEADER), ((LOCAL_FAILED,), ControlKind.SILENT))
        for rule, failure, verdict in (
            ("dropped-meanwhile", Failure.TIMED_OUT, Verdict.SILENT_DROP),
            ("unannounced-meanwhile", Failure.UNREACHABLE, Verdict.UNANNOUNCED),
            ("no-route-meanwhile", Failure.NO_ROUTE, Verdict.UNANNOUNCED),
            ("refused-meanwhile", Failure.REFUSED, Verdict.REFUSED),
        )
    ),
    # Where the server had answered, a SYN that is not may be one too many for a firewall that limits them.
    *(
        (rule, smtp(fault=ANSWERED, controls=(_again(failure, ControlKind.LOCAL_HEADER),)), NOTHING, verdict)
        for rule, failure, verdict in (
            ("not-a-success", Failure.TIMED_OUT, Verdict.SERVICE_ERROR),
            ("unannounced-meanwhile", Failure.UNREACHABLE, Verdict.UNANNOUNCED),
            ("refused-meanwhile", Failure.REFUSED, Verdict.REFUSED),
        )
    ),
    # The last connection is what holds now; one that the vantage could not open tells nothing of a server that spoke.
    (
        "works-with-local-header",
        smtp(fault=CLOSED, controls=(_again(Failure.TIMED_OUT, ControlKind.NO_HEADER), LOCAL_WORKED)),
        NOTHING,
        Verdict.PROXY_HEADER_TIMEOUT,
    ),
    (
        "no-byte-or-no-greeting",
        smtp(fault=CLOSED, controls=(_again(Failure.VANTAGE, ControlKind.LOCAL_HEADER),)),
        NOTHING,
        Verdict.NO_GREETING,
    ),
    # A new connect is answered: only this connection was lost, to a firewall's or kube-proxy's state of it.
    *(
        (rule, smtp(fault=failed(phase, Failure.VANISHED), controls=(AGAIN_FINE,)), NOTHING, verdict)
        for rule, phase, verdict in (
            ("no-byte-or-no-greeting", Phase.GREETING, Verdict.NO_GREETING),
            ("not-a-success", Phase.IMPRINT, Verdict.SERVICE_ERROR),
        )
    ),
    ("forged-header-believed", smtp(), replace(seen(OURS.address), forged=FORGED), Verdict.SPOOFABLE),
    ("forged-header-believed", smtp(), replace(seen(NODE), forged=FORGED), Verdict.SPOOFABLE),
    (
        "forged-header-believed",
        smtp(fault=failed(Phase.GREETING, Failure.REJECTED, "421 no"), controls=(LOCAL_WORKED,)),
        Evidence(forged=FORGED),
        Verdict.SPOOFABLE,
    ),
    (
        "syn-unanswered",
        smtp(fault=failed(Phase.CONNECT, Failure.TIMED_OUT)),
        Evidence(forged=FORGED),
        Verdict.SILENT_DROP,
    ),
    # What was found on a forged header may be an hour old: it hides nothing that is broken now.
    *(
        (rule, smtp(fault=failed(phase, failure)), Evidence(forged=FORGED), verdict)
        for rule, phase, failure, verdict in (
            ("no-byte-or-no-greeting", Phase.FIRST_BYTE, Failure.CLOSED, Verdict.NO_GREETING),
            ("certificate-invalid", Phase.TLS, Failure.CERTIFICATE_INVALID, Verdict.TLS_FAILED),
            ("too-many-connections", Phase.GREETING, Failure.RATE_LIMITED, Verdict.RATE_LIMITED),
        )
    ),
    (
        "works-with-local-header",
        smtp(fault=failed(Phase.GREETING, Failure.REJECTED, "421 no"), controls=(LOCAL_WORKED,)),
        NOTHING,
        Verdict.PROXY_HEADER_TIMEOUT,
    ),
    (
        "works-with-local-header",
        imaps(fault=failed(Phase.TLS, Failure.CLOSED), server_spoke=False, controls=(LOCAL_WORKED,)),
        NOTHING,
        Verdict.PROXY_HEADER_TIMEOUT,
    ),
    (
        "works-without-header",
        smtp(fault=failed(Phase.HELLO, Failure.CLOSED), header_sent=ProxyHeader.V2, controls=(BARE_WORKED,)),
        NOTHING,
        Verdict.PROXY_HEADER_UNEXPECTED,
    ),
    (
        "spoken-to-before-us",
        smtp(fault=failed(Phase.HELLO, Failure.CLOSED), controls=(SILENT_SPOKE,)),
        NOTHING,
        Verdict.PROXY_HEADER_UNEXPECTED,
    ),
    (
        "spoken-to-before-us",
        imaps(fault=failed(Phase.TLS, Failure.CLOSED), controls=(LOCAL_FAILED, SILENT_CLOSED)),
        seen(signs=(FaultSign.TLS_HANDSHAKE,)),
        Verdict.PROXY_HEADER_UNEXPECTED,
    ),
    (
        "sender-not-trusted",
        imaps(
            fault=failed(Phase.TLS, Failure.CLOSED),
            header_sent=ProxyHeader.V2,
            controls=(BARE_CLOSED,),
            connected=100.99,
        ),
        NOTHING,
        Verdict.PROXY_HEADER_UNTRUSTED,
    ),
    (
        "sender-not-trusted",
        imaps(fault=failed(Phase.TLS, Failure.CLOSED), controls=(LOCAL_FAILED, SILENT_CLOSED)),
        seen(signs=(FaultSign.PROXY_HEADER_UNTRUSTED,)),
        Verdict.PROXY_HEADER_UNTRUSTED,
    ),
    (
        "masked-and-limited",
        smtp(fault=failed(Phase.GREETING, Failure.RATE_LIMITED, "421 too many")),
        seen(NODE),
        Verdict.MASKED,
    ),
    (
        "too-many-connections",
        smtp(fault=failed(Phase.GREETING, Failure.RATE_LIMITED, "421 too many")),
        seen(OURS.address),
        Verdict.RATE_LIMITED,
    ),
    (
        "too-many-connections",
        smtp(fault=failed(Phase.GREETING, Failure.RATE_LIMITED, "421 too many")),
        NOTHING,
        Verdict.RATE_LIMITED,
    ),
    (
        "certificate-invalid",
        smtp(fault=failed(Phase.STARTTLS, Failure.CERTIFICATE_INVALID)),
        NOTHING,
        Verdict.TLS_FAILED,
    ),
    (
        "no-byte-or-no-greeting",
        smtp(fault=failed(Phase.FIRST_BYTE, Failure.TIMED_OUT), controls=(LOCAL_FAILED,)),
        NOTHING,
        Verdict.NO_GREETING,
    ),
    (
        "no-byte-or-no-greeting",
        imaps(
            fault=failed(Phase.TLS, Failure.CLOSED),
            server_spoke=False,
            controls=(LOCAL_FAILED, SILENT_CLOSED),
        ),
        NOTHING,
        Verdict.NO_GREETING,
    ),
    (
        "no-byte-or-no-greeting",
        imaps(fault=failed(Phase.TLS, Failure.TIMED_OUT), server_spoke=False, controls=(LOCAL_FAILED, SILENT_FINE)),
        NOTHING,
        Verdict.NO_GREETING,
    ),
    ("no-byte-or-no-greeting", imaps(fault=failed(Phase.GREETING, Failure.CLOSED)), NOTHING, Verdict.NO_GREETING),
    (
        "handshake-failed",
        imaps(fault=failed(Phase.TLS, Failure.TLS_BROKEN), controls=(LOCAL_FAILED, SILENT_FINE)),
        NOTHING,
        Verdict.TLS_FAILED,
    ),
    ("handshake-failed", smtp(fault=failed(Phase.STARTTLS, Failure.TLS_BROKEN)), NOTHING, Verdict.TLS_FAILED),
    ("credentials-refused", imaps(fault=failed(Phase.LOGIN, Failure.BAD_CREDENTIALS)), NOTHING, Verdict.LOGIN_FAILED),
    ("login-held", imaps(fault=failed(Phase.LOGIN, Failure.LOGIN_HELD)), NOTHING, Verdict.LOGIN_FAILED),
    ("not-a-success", smtp(fault=failed(Phase.GREETING, Failure.REJECTED, "554 no")), NOTHING, Verdict.SERVICE_ERROR),
    ("not-a-success", smtp(fault=failed(Phase.HELLO, Failure.TIMED_OUT)), NOTHING, Verdict.SERVICE_ERROR),
    ("not-a-success", smtp(fault=failed(Phase.IMPRINT, Failure.CLOSED)), seen(NODE), Verdict.SERVICE_ERROR),
    ("no-sighting", smtp(), NOTHING, Verdict.UNVERIFIED),
    ("seen-as-expected", smtp(), seen(OURS.address), Verdict.PRESERVED),
    ("seen-as-another", smtp(), seen(NODE), Verdict.MASKED),
    ("sightings-disagree", smtp(), seen(OURS.address, NODE), Verdict.UNVERIFIED),
]


@pytest.mark.parametrize(
    ("rule", "session", "evidence", "verdict"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_rule(rule: str, session: Session, evidence: Evidence, verdict: Verdict) -> None:
    judgement = judge(session, evidence, NETWORKS)
    assert (judgement.rule, judgement.verdict) == (rule, verdict)
    assert not re.search(r"\{[a-z_]+\}", judgement.explanation + judgement.hint)
    assert judgement.explanation.endswith(".")


def test_every_rule_has_a_case_and_words() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert {case[0] for case in CASES} == set(names)
    assert set(WORDS) == set(names)


def test_every_verdict_can_be_given() -> None:
    assert {rule.verdict for rule in RULES} == set(Verdict)


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("10.0.20.102", MaskedBy.NODE),
        ("10.10.1.5", MaskedBy.POD),
        ("10.0.20.1", MaskedBy.GATEWAY),
        ("10.0.20.5", MaskedBy.PROXY),
        ("fd00:20::5", MaskedBy.PROXY),
        ("203.0.113.7", MaskedBy.OTHER),
        ("2001:db8::1", MaskedBy.OTHER),
    ],
)
def test_masked_by_names_whose_address_it_is(address: str, owner: MaskedBy) -> None:
    judgement = judge(smtp_session(), seen(ip_address(address)), NETWORKS)
    assert judgement.masked_by is owner
    assert address in judgement.explanation


def test_an_expected_network_counts_as_the_client_s() -> None:
    session = smtp_session(expected=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")))
    assert judge(session, seen(ip_address("198.51.100.77")), NETWORKS).verdict is Verdict.PRESERVED
    assert judge(session, seen(ip_address("2001:db8::9")), NETWORKS).verdict is Verdict.PRESERVED
    assert judge(session, seen(ip_address("198.51.101.1")), NETWORKS).verdict is Verdict.MASKED


ADDRESSES = st.sampled_from([OURS.address, NODE, ip_address("203.0.113.7"), ip_address("2001:db8::1")])
FAULTS = st.none() | st.builds(failed, st.sampled_from(Phase), st.sampled_from(Failure), st.none() | st.just("421 x"))
CONTROLS = st.lists(
    st.builds(
        lambda kind, worked, fault: control(kind, worked=worked, fault=None if worked else fault),
        st.sampled_from(ControlKind),
        st.booleans(),
        FAULTS,
    ),
    max_size=2,
)


@given(
    service=st.sampled_from(Service),
    fault=FAULTS,
    controls=CONTROLS,
    addresses=st.lists(ADDRESSES, max_size=3),
    signs=st.lists(st.sampled_from(FaultSign), max_size=2),
    more=st.fixed_dictionaries({"header_sent": st.sampled_from(ProxyHeader), "server_spoke": st.booleans()}),
)
def test_whatever_the_facts_no_address_is_claimed_without_a_sighting(  # noqa: PLR0917 - hypothesis fills them
    service: Service,
    fault: Fault | None,
    controls: list[Control],
    addresses: list[Address],
    signs: list[FaultSign],
    more: dict[str, Any],
) -> None:
    session = replace(smtp_session(), service=service, fault=fault, controls=tuple(controls), **more)
    judgement = judge(session, seen(*addresses, signs=tuple(signs)), NETWORKS)
    if judgement.verdict is Verdict.PRESERVED:
        assert fault is None
        assert set(addresses) == {OURS.address}
    if judgement.verdict is Verdict.MASKED:
        assert addresses
        assert OURS.address not in addresses
    assert (judgement.masked_by is not None) == (judgement.verdict is Verdict.MASKED)
    assert not re.search(r"\{[a-z_]+\}", judgement.explanation)


def test_the_worst_session_decides_in_the_contract_s_order() -> None:
    assert worst([Severity.OK, Severity.UNKNOWN, Severity.WARNING, Severity.CRITICAL]) is Severity.CRITICAL
    assert worst([Severity.OK, Severity.UNKNOWN, Severity.WARNING]) is Severity.WARNING
    assert worst([Severity.OK, Severity.UNKNOWN]) is Severity.UNKNOWN
    assert worst([]) is Severity.UNKNOWN
    assert [severity.exit_code for severity in Severity] == [2, 1, 3, 0]


def test_what_a_forged_header_showed_is_said_beside_another_verdict() -> None:
    broken = judge(smtp(fault=failed(Phase.FIRST_BYTE, Failure.CLOSED)), Evidence(forged=FORGED), NETWORKS)
    assert "gave no greeting" in broken.explanation
    assert f"It also took a forged PROXY header's {FORGED.address} for the client's address" in broken.explanation
    open_door = judge(smtp(), replace(seen(OURS.address), forged=FORGED), NETWORKS)
    assert "It also" not in open_door.explanation


@pytest.mark.parametrize(
    ("phase", "words"),
    [(Phase.FIRST_BYTE, "a PROXY header did not help"), (Phase.HELLO, "the next connection was greeted")],
)
def test_what_the_second_connection_met(phase: Phase, words: str) -> None:
    second = control(ControlKind.LOCAL_HEADER, worked=False, fault=failed(phase, Failure.PROTOCOL_BROKEN))
    told = judge(smtp(fault=CLOSED, controls=(second,)), NOTHING, NETWORKS)
    assert (told.verdict, words in told.explanation) == (Verdict.NO_GREETING, True)


@pytest.mark.parametrize(
    ("expected", "at", "verdict"),
    [
        (["10.0.0.0/8"], NODE, Verdict.MASKED),
        (["10.0.0.0/8"], ip_address("10.0.30.7"), Verdict.PRESERVED),
        (["10.0.0.0/8", str(NODE)], NODE, Verdict.PRESERVED),
        (["0.0.0.0/0"], ip_address("10.10.3.4"), Verdict.MASKED),
    ],
)
def test_of_a_wide_range_a_known_nodes_address_is_not_the_clients(
    expected: list[str], at: Address, verdict: Verdict
) -> None:
    session = smtp_session(expected=tuple(map(ip_network, expected)))
    assert judge(session, seen(at), NETWORKS).verdict is verdict


def test_a_vantage_that_is_a_node_is_seen_as_itself() -> None:
    session = smtp_session(client=Peer(NODE, 4000), expected=(ip_network("10.0.20.0/24"),))
    told = judge(session, seen(NODE), NETWORKS)
    assert (told.verdict, "the client's own address" in told.explanation) == (Verdict.PRESERVED, True)


def test_an_expected_address_is_not_called_the_clients_own() -> None:
    told = judge(smtp_session(expected=(ip_network("198.51.100.0/24"),)), seen(ip_address("198.51.100.9")), NETWORKS)
    assert told.explanation == "The server saw 198.51.100.9, an expected address."


def test_a_sign_that_may_be_anothers_decides_nothing() -> None:
    session = imaps(fault=failed(Phase.TLS, Failure.TIMED_OUT), server_spoke=False)
    sign = Sign(sign=FaultSign.PROXY_HEADER_UNTRUSTED, client=OURS.address, source="file:/log", at=101.0, line="line")
    told = [judge(session, Evidence(signs=(replace(sign, disputed=is_so),)), NETWORKS) for is_so in (False, True)]
    assert [one.verdict for one in told] == [Verdict.PROXY_HEADER_UNTRUSTED, Verdict.NO_GREETING]


@given(
    fault=FAULTS,
    controls=CONTROLS,
    addresses=st.lists(ADDRESSES, max_size=2),
    signs=st.lists(st.sampled_from(FaultSign), max_size=2),
    is_forged=st.booleans(),
)
def test_what_is_foregone_holds_whatever_the_evidence_says(
    fault: Fault | None,
    controls: list[Control],
    addresses: list[Address],
    signs: list[FaultSign],
    is_forged: bool,  # noqa: FBT001
) -> None:
    session = replace(smtp_session(), fault=fault, controls=tuple(controls))
    evidence = seen(*addresses, signs=tuple(signs))
    evidence = replace(evidence, forged=seen(NODE).sightings[0] if is_forged else None)
    early = foregone(session, NETWORKS)
    if early is not None:
        assert (early.verdict, early.rule) == astuple(judge(session, evidence, NETWORKS))[:2]
    assert early is not None or fault is None or fault.phase not in (Phase.RESOLVE, Phase.CONNECT)
    assert early is None or fault is not None
