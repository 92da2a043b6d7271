"""What the fault lines of a saved log show. Pure: counts in, conclusions out.

Rule 1: a scanner that knocks at a listener for PROXY headers leaves the same line as a proxy that forgets them. So a
        fault is critical only where it is at least every second time of a listener, and came more than once.
Rule 2: a limit of one client's is that client's business; that of an address that many may share is everybody's.
Rule 3: failed TLS handshakes are counted and not concluded from: every open port has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from probe.model import STAND_INS, Clients, FaultSign, Finding, Severity, Trouble, Whose

MORE_THAN_CHANCE = 2
SHARED = frozenset((*STAND_INS, Whose.PRIVATE, Whose.LOOPBACK))

Severe = Callable[["Case"], Severity]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Lines of all listeners that name one fault."""

    troubles: tuple[Trouble, ...]
    clients: Clients

    @property
    def count(self) -> int:
        return sum(trouble.count for trouble in self.troubles)

    @property
    def rules_a_listener(self) -> bool:
        """Some listener has it at least every second time."""
        came = {listener.name: listener.clients for listener in self.clients.listeners}
        had: dict[str, int] = {}
        for trouble in self.troubles:
            had[trouble.listener] = had.get(trouble.listener, 0) + trouble.count
        return any(count >= MORE_THAN_CHANCE and 2 * count >= came.get(name, 0) for name, count in had.items())

    @property
    def where(self) -> str:
        names = list(dict.fromkeys(trouble.listener for trouble in self.troubles))
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    @property
    def whose(self) -> str:
        """Addresses that the lines name."""
        named = list(dict.fromkeys(str(address) for trouble in self.troubles for address in trouble.addresses))
        return ", ".join(named[:3]) + (" and others" if len(named) > 3 else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class TroubleRule:
    """One row: which lines, how bad, what it means, what to do."""

    name: str
    sign: FaultSign
    severe: Severe
    sentence: str
    hint: str
    of: Callable[[Trouble], bool] = lambda _: True


def _by_share(case: Case) -> Severity:
    return Severity.CRITICAL if case.rules_a_listener else Severity.WARNING


def _critical(_: Case) -> Severity:
    return Severity.CRITICAL


def _warning(_: Case) -> Severity:
    return Severity.WARNING


def _noted(_: Case) -> Severity:
    return Severity.OK


def _is_screen(trouble: Trouble) -> bool:
    return trouble.listener.endswith("/postscreen")


def _is_shared(trouble: Trouble) -> bool:
    return trouble.whose in SHARED


TROUBLE_RULES: tuple[TroubleRule, ...] = (
    TroubleRule(
        name="header-missing",
        sign=FaultSign.PROXY_HEADER_MISSING,
        severe=_by_share,
        sentence="At {where} a PROXY header was wanted and none came, {times}{of_whom}.",
        hint="Either let the proxy before it send the header (HAProxy: `send-proxy-v2`), or turn off "
        "`postscreen_upstream_proxy_protocol`, `smtpd_upstream_proxy_protocol` or Dovecot's `haproxy = yes` there; "
        "MetalLB and kube-proxy never send one. A few such lines beside many clients are scanners.",
    ),
    TroubleRule(
        name="header-unexpected",
        sign=FaultSign.PROXY_HEADER_UNEXPECTED,
        severe=_by_share,
        sentence="At {where} a PROXY header came and none was wanted, {times}{of_whom}.",
        hint="Send it to a listener that expects one, turn it on at this one, or turn `send-proxy` off at the proxy.",
    ),
    TroubleRule(
        name="header-untrusted",
        sign=FaultSign.PROXY_HEADER_UNTRUSTED,
        severe=_by_share,
        sentence="At {where} a client came who is not trusted to send a PROXY header, {times}{of_whom}.",
        hint="Add the proxy, or the node that SNATs it, to Dovecot's `haproxy_trusted_networks`, and nobody else.",
    ),
    TroubleRule(
        name="throttled",
        sign=FaultSign.THROTTLED,
        severe=_critical,
        sentence="Postfix throttled a service, {times}: for a minute it serves nobody, and its clients wait in vain.",
        hint="Look for `fatal` lines just before. A TCP health check of a listener that wants a PROXY header does "
        "this: check another port, one that wants none.",
    ),
    TroubleRule(
        name="health-check",
        sign=FaultSign.HEALTH_CHECK,
        severe=_warning,
        of=lambda trouble: not _is_screen(trouble),
        sentence="{where} died of a client that hung up instead of sending its PROXY header, {times}: TCP health "
        "checks do that, and Postfix then throttles the service.",
        hint="Point the health check at a port that wants no PROXY header; HAProxy's `check-send-proxy` does not help, "
        "for it hangs up too.",
    ),
    TroubleRule(
        name="hung-up",
        sign=FaultSign.HEALTH_CHECK,
        severe=_noted,
        of=_is_screen,
        sentence="At {where} a client hung up before postscreen could look, {times}: health checks and scanners do.",
        hint="Harmless, unless it is every client.",
    ),
    TroubleRule(
        name="shared-limit",
        sign=FaultSign.RATE_LIMITED,
        severe=_warning,
        of=_is_shared,
        sentence="At {where} {whose} spent a limit, {times}: all who come from there share it.",
        hint="If clients are masked, one limit hits them all: unmask them first. Else exempt the address "
        "(`smtpd_client_event_limit_exceptions`).",
    ),
    TroubleRule(
        name="own-limit",
        sign=FaultSign.RATE_LIMITED,
        severe=_noted,
        of=lambda trouble: trouble.whose in (Whose.PUBLIC, None),
        sentence="At {where} a client spent its own limit, {times} ({whose}).",
        hint="That is what limits are for.",
    ),
    TroubleRule(
        name="probe-limit",
        sign=FaultSign.RATE_LIMITED,
        severe=_warning,
        of=lambda trouble: trouble.whose is Whose.VANTAGE,
        sentence="At {where} the probe itself spent a limit, {times} ({whose}).",
        hint="Probe less often (`schedule`), or exempt the vantage (`smtpd_client_event_limit_exceptions`).",
    ),
    TroubleRule(
        name="fatal",
        sign=FaultSign.SERVICE_FATAL,
        severe=_warning,
        sentence="{where} ended with a fatal error, {times}.",
        hint="The first `fatal` line says why; look for more of them around it.",
    ),
    TroubleRule(
        name="handshakes",
        sign=FaultSign.TLS_HANDSHAKE,
        severe=_noted,
        sentence="At {where} a TLS handshake failed, {times}{of_whom}.",
        hint="Scanners do this all day; a PROXY header to a TLS-first port that wants none does it each time.",
    ),
)


def troubles(clients: Clients) -> Iterator[Finding]:
    """What the fault lines show, a finding for each row that holds."""
    for rule in TROUBLE_RULES:
        found = tuple(trouble for trouble in clients.troubles if trouble.sign is rule.sign and rule.of(trouble))
        if found:
            yield _finding(rule, Case(troubles=_most_first(found), clients=clients))


def _most_first(found: Iterable[Trouble]) -> tuple[Trouble, ...]:
    return tuple(sorted(found, key=lambda trouble: -trouble.count))


def _finding(rule: TroubleRule, case: Case) -> Finding:
    whose = case.whose
    sentence = rule.sentence.format(
        where=case.where,
        times="once" if case.count == 1 else f"{case.count:,} times",
        whose=whose or "a client whose address was gone",
        of_whom=f" ({whose})" if whose else "",
    )
    return Finding(
        rule=rule.name,
        severity=rule.severe(case),
        sentence=sentence,
        first=case.troubles[0].first,
        hint=rule.hint,
    )
