"""Verdicts in plain words: what happened and what to do next, one row per rule of the judge.

Rule 1: the explanation is one sentence with the facts of this session; no guess that the session does not prove.
Rule 2: the hint is what a tired person types or looks at next.
Rule 3: every rule of judge.RULES has a row here (a test holds both against each other).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from probe.model import (
    ControlKind,
    Evidence,
    Failure,
    FaultSign,
    MaskedBy,
    Network,
    Phase,
    Service,
    Session,
    plain_network,
)

WHOSE = {
    MaskedBy.NODE: ("a cluster node's address", "kube-proxy or the node's NAT has replaced the client's"),
    MaskedBy.POD: ("a pod's address", "something in the cluster relays the connection"),
    MaskedBy.GATEWAY: ("the gateway's address", "the router or firewall has replaced the client's"),
    MaskedBy.PROXY: ("the proxy's address", "the proxy connects onward without telling whom it stands for"),
    MaskedBy.OTHER: ("an address that `networks` does not name", "something on the way has replaced the client's"),
}
"""Whose address it is, and why it stands there."""

UNMASK = {
    MaskedBy.NODE: "Check the Service's externalTrafficPolicy: `kubectl get service -A -o "
    "custom-columns=NAME:.metadata.name,POLICY:.spec.externalTrafficPolicy`; Cluster masks every client, Local or a "
    "PROXY header does not.",
    MaskedBy.POD: "Find the pod with this address (`kubectl get pods -A -o wide | grep ADDRESS`), and what it relays.",
    MaskedBy.GATEWAY: "Look at the router's NAT rules for this port: outbound NAT or NAT reflection must not touch it.",
    MaskedBy.PROXY: "Let the proxy send a PROXY header (HAProxy: `send-proxy-v2`) to a listener that expects one.",
    MaskedBy.OTHER: "Find out whose address this is, and add it to `networks`; if it is the client's own after NAT, "
    "add it to `vantage.addresses`.",
}

WANT_HEADER = {
    Service.SMTP: "`postscreen_upstream_proxy_protocol` or `smtpd_upstream_proxy_protocol`",
    Service.SUBMISSION: "`smtpd_upstream_proxy_protocol`",
    Service.SUBMISSIONS: "`smtpd_upstream_proxy_protocol`",
    Service.IMAPS: "`haproxy = yes` of the inet_listener",
}


@dataclass(frozen=True, slots=True)
class Words:
    """Templates; the names in braces are those of `_facts`."""

    explanation: str
    hint: str


_DROPPED = (
    "With externalTrafficPolicy Local the announcing node must host the pod: compare the node that announces the VIP "
    "(`kubectl get servicel2statuses -A`) with the pod's (`kubectl get pods -A -o wide`), then firewalls."
)
_UNANNOUNCED = (
    "See whether a speaker announces it (`kubectl get servicel2statuses -A`, `ip neigh` on the last hop), where other "
    "services of the address work whether its Service has port {port}, then the route from the vantage, and firewalls "
    "on it."
)
_REFUSED = (
    "No endpoint is ready or nothing listens: `kubectl get endpointslices -A`, `kubectl get pods -A`, the server's log."
)

_MEND_THE_LOGIN = (
    "Check the user and the password file of this endpoint, then reload the daemon (SIGHUP or `POST /-/reload`), "
    "or restart it where the secret is a credential of systemd or comes from `${{ENV}}`, which a reload does not "
    "read anew: its next session tries."
)
_OURS = (
    "This is about the vantage, not the server: check source_address, local firewall and file limits there; where it "
    "stood still, what stopped it (a backup that freezes it, memory swapped out, a paused machine)."
)

_NO_ROUTE = (
    "The fault is on the vantage, unless it learns its routes from those who announce the address: look at `ip route "
    "get {place}` and `ip -brief address` there; a lease, a link or a VPN may be gone."
)

WORDS: dict[str, Words] = {
    "vantage-cut-off": Words(
        "The connection to {where} went dead in phase {phase}, and the probe itself could open no other one: {again}.",
        _OURS,
    ),
    "vantage-cannot-open": Words("The probe itself saw nothing of {where}: {detail}.", _OURS),
    "name-not-resolved": Words(
        "{host} could not be resolved: {detail}.",
        "Try `getent ahosts {host}` on the vantage; check the name, its resolver and address_family.",
    ),
    "syn-unanswered": Words(
        "{where} did not answer the connect within {connect:.1f} s: packets are dropped in silence.",
        _DROPPED,
    ),
    "nobody-answers": Words(
        "{where} is unreachable ({detail}): the network says that nobody answers there.",
        _UNANNOUNCED,
    ),
    "no-route-from-here": Words(
        "This machine itself has no way to {where} ({detail}), so nothing was sent there.",
        _NO_ROUTE,
    ),
    "no-route-meanwhile": Words(
        "{where} failed in phase {phase} ({detail}), and this machine itself has no way there since ({again}).",
        _NO_ROUTE,
    ),
    "connection-refused": Words("{where} refused the connection{how}.", _REFUSED),
    "dropped-meanwhile": Words(
        "{where} failed in phase {phase} ({detail}), and the next connect got no answer ({again}): packets are dropped "
        "in silence.",
        _DROPPED,
    ),
    "unannounced-meanwhile": Words(
        "{where} failed in phase {phase} ({detail}), and is unreachable since: the network says that nobody answers "
        "there.",
        _UNANNOUNCED,
    ),
    "refused-meanwhile": Words("{where} failed in phase {phase} ({detail}), and refuses connections since.", _REFUSED),
    "forged-header-believed": Words(
        "{where} believes anybody: a connection from here claimed in a PROXY header to be {forged}, and the server "
        "took that for the client's address ({forged_source}, {forged_when}).",
        "Whoever reaches this port passes SPF, blocklists, rate limits, bans and mynetworks as whom he likes: let only "
        "the proxy reach it (firewall, NetworkPolicy); in Dovecot take this vantage out of `haproxy_trusted_networks`.",
    ),
    "works-with-local-header": Words(
        "{where} wants a PROXY header and none arrives: it failed without one ({detail}) and greeted us when a "
        "harmless LOCAL header came first.",
        "Either let the proxy before it send the header (HAProxy: `send-proxy-v2`), or turn off {wants_header} on "
        "this listener; MetalLB and kube-proxy never send one.",
    ),
    "works-without-header": Words(
        "{where} does not want the PROXY {header} header that this path sends: it works without.",
        "Either turn {wants_header} on at this listener, or stop sending the header (proxy_header: none, and "
        "`send-proxy` off at the real proxy).",
    ),
    "spoken-to-before-us": Words(
        "A PROXY header that {where} does not want reaches it before our first byte: it reacts to a connection on "
        "which we said nothing.",
        "A proxy on the way sends `send-proxy` to this listener: send it to one that expects it, or turn "
        "{wants_header} on here.",
    ),
    "sender-not-trusted": Words(
        "{where} hangs up because it does not trust the sender of the PROXY header{signs}.",
        "Add the sender (the proxy, or the node that SNATs) to Dovecot's `haproxy_trusted_networks`.",
    ),
    "masked-and-limited": Words(
        "The server refused for too many connections, and counts them for {seen}, {whose}, not for {expected}: {why}.",
        "{unmask} Until then all clients share one address and one limit.",
    ),
    "too-many-connections": Words(
        "{where} refused for too many connections: {reply}.",
        "Probe less often (schedule), exempt the vantage (`smtpd_client_event_limit_exceptions`), or look who else "
        "shares the address.",
    ),
    "certificate-invalid": Words(
        "TLS to {where} failed: {detail}.",
        "Look at it with `openssl s_client -connect {socket} -servername {server}{starttls}`; then renew the "
        "certificate, or set tls.server_name or tls.ca_file.",
    ),
    "no-byte-or-no-greeting": Words(
        "{where} accepted the connection but gave no greeting ({detail} after {waited:.1f} s{no_help}){signs}.",
        "Look at the server's log for `throttling` or `fatal` (a health check may stop a listener that wants a "
        "PROXY header), for a proxy whose backend is down, and for `Client not trusted`.",
    ),
    "handshake-failed": Words(
        "TLS to {where} failed: {detail}{signs}.",
        "Look at it with `openssl s_client -connect {socket} -servername {server}{starttls}`.",
    ),
    "credentials-refused": Words(
        "{where} refused the login: {detail}.",
        f"{_MEND_THE_LOGIN} By itself it tries rarely, for each refused try counts for fail2ban and CrowdSec.",
    ),
    "login-held": Words(
        "{where} was not asked again for a login that it refused: {detail}.",
        f"{_MEND_THE_LOGIN} By itself it tries ever more rarely, once an hour in the end, for each refused try counts "
        "for fail2ban and CrowdSec, which would ban this vantage.",
    ),
    "not-a-success": Words(
        "{where} failed in phase {phase}: {detail}{signs}.",
        "Look at the server's log at this time; the transcript has every line of the session.",
    ),
    "no-sighting": Words(
        "The session worked, but nothing proves whose address the server saw: {reasons}.",
        "{see_to_evidence}",
    ),
    "seen-as-expected": Words("The server saw {seen}, {own}.", "Nothing to do."),
    "seen-as-another": Words("The server saw {seen}, {whose}, instead of {expected}: {why}.", "{unmask}"),
    "sightings-disagree": Words(
        "Sightings contradict each other ({seen}), so none of them proves anything.",
        "See the sightings of this session; two servers may write into one log.",
    ),
}

UNSEEN = (
    "Check that evidence.sources reads the log of this very server and gets its lines in time (timeouts.evidence), and "
    "that no shipper drops them."
)
"""What to do where no source itself says what is wrong with it."""

BELIEVED = "It also took a forged PROXY header's {forged} for the client's address ({forged_source}, {forged_when})."

SIGNS = {
    FaultSign.PROXY_HEADER_MISSING: "the log says that a PROXY header is missing",
    FaultSign.PROXY_HEADER_UNEXPECTED: "the log shows a PROXY header where none is wanted",
    FaultSign.PROXY_HEADER_UNTRUSTED: "the log says `Client not trusted`",
    FaultSign.TLS_HANDSHAKE: "the log shows a failed TLS handshake",
    FaultSign.THROTTLED: "Postfix throttles the service",
    FaultSign.HEALTH_CHECK: "the log shows a health check that hangs up on a listener which wants a PROXY header",
    FaultSign.RATE_LIMITED: "the log shows a rate limit",
    FaultSign.SERVICE_FATAL: "the log shows a fatal error of the service",
}


def told(rule: str, session: Session, evidence: Evidence, masked_by: MaskedBy | None) -> Words:
    """The words of a rule with the facts of this session in them."""
    facts = _facts(session, evidence, masked_by)
    words = WORDS[rule]
    return Words(explanation=words.explanation.format_map(facts), hint=words.hint.format_map(facts))


def believed(session: Session, evidence: Evidence) -> str:
    """That the listener believes anybody, where something else is the verdict."""
    return BELIEVED.format_map(_facts(session, evidence, None))


def _facts(session: Session, evidence: Evidence, masked_by: MaskedBy | None) -> Mapping[str, object]:
    fault = session.fault
    place = str(session.address) if session.address is not None else session.host
    socket = f"[{place}]:{session.port}" if ":" in place else f"{place}:{session.port}"
    connected = session.connected if session.connected is not None else session.opened
    return {
        "where": f"{session.service} at {socket}",
        "place": place,
        "socket": socket,
        "port": session.port,
        "host": session.host,
        "server": session.server_name or session.host,
        "no_help": _no_help(session),
        "starttls": "" if session.service.tls_first else " -starttls smtp",
        "connect": session.seconds_in(Phase.CONNECT),
        "waited": session.closed - session.seconds_in(Phase.QUIT) - connected,
        "phase": fault.phase if fault else "",
        "detail": fault.detail if fault else "",
        "again": next((control.fault.detail for control in reversed(session.controls) if control.fault), ""),
        "how": f" ({fault.detail})" if fault and fault.failure is not Failure.REFUSED else "",
        "reply": " ".join((fault.reply or fault.detail).split("\n")) if fault else "",
        "header": session.header_sent,
        "wants_header": WANT_HEADER[session.service],
        "seen": " and ".join(sorted({str(sighting.address) for sighting in evidence.sightings})),
        "own": "the client's own address" if _is_own(session, evidence) else "an expected address",
        "expected": " or ".join(plain_network(network) for network in _of_family(session)),
        "whose": WHOSE[masked_by][0] if masked_by else "",
        "why": WHOSE[masked_by][1] if masked_by else "",
        "unmask": UNMASK[masked_by] if masked_by else "",
        "reasons": "; ".join(evidence.reasons) or "nothing was looked for",
        "see_to_evidence": f"Mend this first: {'; '.join(evidence.to_mend)}." if evidence.to_mend else UNSEEN,
        "signs": _signs(evidence),
        "forged": evidence.forged.address if evidence.forged else "",
        "forged_source": evidence.forged.source if evidence.forged else "",
        "forged_when": _ago(session.closed - evidence.forged.at) if evidence.forged else "",
    }


def banned(session: Session, refused: float) -> str:
    """What to look at first where connections fail after a login was refused at this moment."""
    return (
        f"The server refused a login from here ({_ago(session.opened - refused)}) and has let none in on this path "
        "since, so see first whether it bans this vantage: `fail2ban-client status dovecot` there (and its other "
        "jails), then `fail2ban-client set dovecot unbanip ADDRESS`, and `ignoreip` for good. On a masked path it is "
        "the node that is banned, and everybody behind it. If nobody is banned:"
    )


def _ago(seconds: float) -> str:
    """When something was, for a person.

    >>> _ago(-0.5), _ago(150), _ago(7200), _ago(172_800)
    ('just now', '2 minutes ago', '2 hours ago', '2 days ago')
    """
    for unit, length in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _no_help(session: Session) -> str:
    """What a PROXY header before everything else changed, where one was tried in vain."""
    tried = [control.fault for control in session.controls if control.kind is ControlKind.LOCAL_HEADER]
    if not tried:
        return ""
    greeted = any(fault is not None and fault.phase is Phase.HELLO for fault in tried)
    return "; the next connection was greeted" if greeted else "; a PROXY header did not help"


def _signs(evidence: Evidence) -> str:
    named = dict.fromkeys(SIGNS[found.sign] for found in evidence.signs)
    return f" ({'; '.join(named)})" if named else ""


def _is_own(session: Session, evidence: Evidence) -> bool:
    return session.client is not None and {seen.address for seen in evidence.sightings} == {session.client.address}


def _of_family(session: Session) -> list[Network]:
    """Expected addresses that could have been seen at all, over IPv4 or IPv6."""
    version = session.address.version if session.address is not None else None
    return [network for network in session.expected if network.version == version] or list(session.expected)
