"""What a session proves. Pure: a session and its evidence in, a verdict and the rule that gave it out.

Rule 1: a verdict is a function of Facts alone.
Rule 2: the first row that holds wins, so rows go from "never got there" to "certain".
Rule 3: absence of evidence is UNVERIFIED: a lost log line must not page anyone.
Rule 4: sightings that contradict each other prove nothing.
Rule 5: the first rows look at the session alone, so they hold whatever its evidence will be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from probe.model import (
    Address,
    ControlKind,
    Evidence,
    Failure,
    FaultSign,
    Judgement,
    MaskedBy,
    Networks,
    Phase,
    ProxyHeader,
    Service,
    Session,
    Verdict,
    within,
)
from probe.verdict.words import believed, told

AT_ONCE = 1.0
"""Seconds within which a Dovecot that does not trust a header's sender hangs up (measured: 10 ms)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All a rule may look at."""

    session: Session
    evidence: Evidence
    networks: Networks

    @property
    def addresses(self) -> set[Address]:
        """Every client address the server was seen to believe."""
        return {sighting.address for sighting in self.evidence.sightings}

    @property
    def unexpected(self) -> set[Address]:
        """Those of them that are not the client's."""
        return {address for address in self.addresses if not self._is_expected(address)}

    def _is_expected(self, address: Address) -> bool:
        """Of a range of expected addresses, those that are known to be a node's or the like do not count."""
        own = self.session.client
        by_itself = tuple(network for network in self.session.expected if network.num_addresses == 1)
        if within(address, by_itself):
            return True
        known = self.networks.owner(address) is not MaskedBy.OTHER and (own is None or own.address != address)
        return within(address, self.session.expected) and not known

    @property
    def preserved(self) -> bool:
        """Seen, and nothing but expected addresses."""
        return bool(self.addresses) and not self.unexpected

    @property
    def masked(self) -> bool:
        """Seen, and nothing but other addresses."""
        return bool(self.addresses) and self.unexpected == self.addresses

    def failed(self, failure: Failure) -> bool:
        """Whether the session failed in this way, in whatever phase."""
        return self.session.fault is not None and self.session.fault.failure is failure

    def failed_in(self, *phases: Phase) -> bool:
        """Whether the session failed in one of these phases."""
        return self.session.fault is not None and self.session.fault.phase in phases

    def worked(self, kind: ControlKind) -> bool:
        """Whether such a control connection was made and went well."""
        return any(control.kind is kind and control.worked for control in self.session.controls)

    def signed(self, sign: FaultSign) -> bool:
        """Whether the server's log named this fault while the session ran, and of nobody else that we know.

        We are who has our address, or the address of something of ours on the way.
        """
        undisputed = [found for found in self.evidence.signs if found.sign is sign and not found.disputed]
        return any(self._may_be_us(found.client) for found in undisputed)

    def _may_be_us(self, client: Address | None) -> bool:
        if client is None or within(client, self.session.expected):
            return True
        own = self.session.client
        return (own is not None and own.address == client) or self.networks.owner(client) is not MaskedBy.OTHER

    @property
    def believes_anybody(self) -> bool:
        """A forged header was believed, and nothing is broken but that this path's own header is missing.

        That finding may be an hour old and must not hide what is broken now; a listener that wants a header and gets
        none is what it was found on.
        """
        return self.evidence.forged is not None and (
            self.session.fault is None or self.worked(ControlKind.LOCAL_HEADER)
        )

    @property
    def hung_up_at_once(self) -> bool:
        """Closed without waiting for anything, with and without a header."""
        connected = self.session.connected if self.session.connected is not None else self.session.closed
        fault = self.session.fault
        closed = fault is not None and fault.failure in (Failure.CLOSED, Failure.RESET)
        again = [control.seconds for control in self.session.controls if not control.worked]
        return closed and self.session.closed - connected < AT_ONCE and any(seconds < AT_ONCE for seconds in again)

    @property
    def junk_before_us(self) -> bool:
        """The server was spoken to before we had said a word."""
        if self.session.control_failed(ControlKind.SILENT, Failure.PROTOCOL_BROKEN):
            return True
        closed = self.session.control_failed(ControlKind.SILENT, Failure.CLOSED)
        return closed and (self.signed(FaultSign.TLS_HANDSHAKE) or self.signed(FaultSign.PROXY_HEADER_UNEXPECTED))

    @property
    def sender_untrusted(self) -> bool:
        """Dovecot hangs up on senders outside haproxy_trusted_networks, header or not; it says so only in its log."""
        if self.session.service is not Service.IMAPS or not self.session.fell_before_greeting:
            return False
        sent = self.session.header_sent is not ProxyHeader.NONE
        return self.signed(FaultSign.PROXY_HEADER_UNTRUSTED) or (sent and self.hung_up_at_once)

    @property
    def never_spoke(self) -> bool:
        """Connected, but no greeting. TLS first: not a byte, and it does not even wait for a ClientHello."""
        if self.failed_in(Phase.FIRST_BYTE, Phase.GREETING):
            return not any(map(self.failed, (Failure.REJECTED, Failure.PROTOCOL_BROKEN, Failure.TLS_BROKEN)))
        if not self.failed_in(Phase.PROXY_HEADER, Phase.TLS) or self.session.server_spoke:
            return False
        silent = self.failed(Failure.TIMED_OUT) or self.failed(Failure.VANISHED)
        return silent or self.session.control_failed(ControlKind.SILENT, Failure.CLOSED)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: a name for people and tests, when it holds, what it proves."""

    name: str
    holds: Callable[[Facts], bool]
    verdict: Verdict


FOREGONE: tuple[Rule, ...] = (
    # never got there
    Rule("vantage-cut-off", lambda f: f.session.lost_meanwhile(Failure.VANTAGE), Verdict.UNVERIFIED),
    Rule("vantage-cannot-open", lambda f: not f.session.took_place, Verdict.UNVERIFIED),
    Rule("name-not-resolved", lambda f: f.failed_in(Phase.RESOLVE), Verdict.RESOLVE_FAILED),
    Rule("syn-unanswered", lambda f: f.failed_in(Phase.CONNECT) and f.failed(Failure.TIMED_OUT), Verdict.SILENT_DROP),
    Rule("nobody-answers", lambda f: f.failed_in(Phase.CONNECT) and f.failed(Failure.UNREACHABLE), Verdict.UNANNOUNCED),
    Rule("no-route-from-here", lambda f: f.failed(Failure.NO_ROUTE), Verdict.UNANNOUNCED),
    Rule("connection-refused", lambda f: f.failed_in(Phase.CONNECT), Verdict.REFUSED),
    # got there, and the way in was lost meanwhile
    Rule("dropped-meanwhile", lambda f: f.session.lost_meanwhile(Failure.TIMED_OUT), Verdict.SILENT_DROP),
    Rule("no-route-meanwhile", lambda f: f.session.lost_meanwhile(Failure.NO_ROUTE), Verdict.UNANNOUNCED),
    Rule("unannounced-meanwhile", lambda f: f.session.lost_meanwhile(Failure.UNREACHABLE), Verdict.UNANNOUNCED),
    Rule("refused-meanwhile", lambda f: f.session.lost_meanwhile(Failure.REFUSED), Verdict.REFUSED),
)

RULES: tuple[Rule, ...] = (
    *FOREGONE,
    # got there, and the door stands open to anybody
    Rule("forged-header-believed", lambda f: f.believes_anybody, Verdict.SPOOFABLE),
    # got there, and a second connection told what the first could not
    Rule("works-with-local-header", lambda f: f.worked(ControlKind.LOCAL_HEADER), Verdict.PROXY_HEADER_TIMEOUT),
    Rule("works-without-header", lambda f: f.worked(ControlKind.NO_HEADER), Verdict.PROXY_HEADER_UNEXPECTED),
    Rule("spoken-to-before-us", lambda f: f.junk_before_us, Verdict.PROXY_HEADER_UNEXPECTED),
    Rule("sender-not-trusted", lambda f: f.sender_untrusted, Verdict.PROXY_HEADER_UNTRUSTED),
    # got there, and it did not work
    Rule("masked-and-limited", lambda f: f.failed(Failure.RATE_LIMITED) and f.masked, Verdict.MASKED),
    Rule("too-many-connections", lambda f: f.failed(Failure.RATE_LIMITED), Verdict.RATE_LIMITED),
    Rule("certificate-invalid", lambda f: f.failed(Failure.CERTIFICATE_INVALID), Verdict.TLS_FAILED),
    Rule("no-byte-or-no-greeting", lambda f: f.never_spoke, Verdict.NO_GREETING),
    Rule("handshake-failed", lambda f: f.failed_in(Phase.TLS) or f.failed(Failure.TLS_BROKEN), Verdict.TLS_FAILED),
    Rule("credentials-refused", lambda f: f.failed(Failure.BAD_CREDENTIALS), Verdict.LOGIN_FAILED),
    Rule("login-held", lambda f: f.session.held_back, Verdict.LOGIN_FAILED),
    Rule("not-a-success", lambda f: f.session.fault is not None, Verdict.SERVICE_ERROR),
    # it worked: whose address did the server see
    Rule("no-sighting", lambda f: not f.addresses, Verdict.UNVERIFIED),
    Rule("seen-as-expected", lambda f: f.preserved, Verdict.PRESERVED),
    Rule("seen-as-another", lambda f: f.masked, Verdict.MASKED),
    Rule("sightings-disagree", lambda _: True, Verdict.UNVERIFIED),
)


def judge(session: Session, evidence: Evidence, networks: Networks) -> Judgement:
    """The first rule that holds, with an explanation and a next step for a person."""
    facts = Facts(session, evidence, networks)
    return _judgement(next(_holding(RULES, facts)), facts)


def foregone(session: Session, networks: Networks) -> Judgement | None:
    """The verdict that a session has before anything is known of its evidence; None: its evidence decides."""
    facts = Facts(session, Evidence(), networks)
    rule = next(_holding(FOREGONE, facts), None)
    return _judgement(rule, facts) if rule else None


def _holding(rules: Sequence[Rule], facts: Facts) -> Iterator[Rule]:
    return (rule for rule in rules if rule.holds(facts))


def _judgement(rule: Rule, facts: Facts) -> Judgement:
    session, evidence, networks = facts.session, facts.evidence, facts.networks
    seen = sorted(facts.unexpected, key=str)
    masked_by = networks.owner(seen[0]) if rule.verdict is Verdict.MASKED and seen else None
    words = told(rule.name, session, evidence, masked_by)
    hidden = evidence.forged is not None and rule.verdict is not Verdict.SPOOFABLE
    return Judgement(
        verdict=rule.verdict,
        rule=rule.name,
        masked_by=masked_by,
        seen=tuple(seen) if rule.verdict is Verdict.MASKED else (),
        explanation=f"{words.explanation} {believed(session, evidence)}" if hidden else words.explanation,
        hint=words.hint,
    )
