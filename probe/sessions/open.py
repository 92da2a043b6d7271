"""Open one session, from resolve to close, and a control connection after it where the failure calls for one.

The one place where exceptions end: `open_session` returns a value, whatever the server does.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

from probe.model import (
    Address,
    Beat,
    Clock,
    Control,
    ControlKind,
    Delivery,
    Endpoint,
    EndpointName,
    Failure,
    Fault,
    IdMoment,
    IdMoments,
    Imprint,
    ImprintKind,
    Login,
    Mailbox,
    Network,
    Peer,
    Phase,
    PhaseTiming,
    ProxyHeader,
    Session,
    Span,
    plain_address,
)
from probe.sessions import imap, smtp
from probe.sessions.bound import Bound
from probe.sessions.control import CONTROL_SECONDS, LISTEN_SECONDS, called_for, fails_alike, knock, listen
from probe.sessions.dial import Dialled, Ports, connect, hand_over, send_header
from probe.sessions.faults import Refusal, as_refusal, on_the_way
from probe.sessions.journal import KEPT_CHARACTERS, Journal
from probe.sessions.lookup import LookedUp, Lookups, Way, look_up, resolve
from probe.sessions.refused_logins import RefusedLogins
from probe.sessions.tls import TlsContexts, certificate_expiry

if TYPE_CHECKING:
    from probe.sessions.mailbox import Errand

UNTOLD_SECONDS = 2.0
"""How long to look for a message of which the server did not say whether it took it."""

NO_IMPRINT = Imprint(kind=ImprintKind.NONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kit:
    """What sessions need from outside: a clock, fresh tokens, TLS contexts, the name to say in EHLO, ports, lookups.

    `refused`: logins that are not to be tried for a while.
    `told`: sessions whose control connections have told already what they would tell of one that fails alike.
    """

    clock: Clock
    token: Callable[[], str]
    contexts: TlsContexts
    name: str = "probe.mailprobe.invalid"
    ports: Ports = field(default_factory=Ports)
    lookups: Lookups = field(default_factory=Lookups)
    refused: RefusedLogins = field(default_factory=RefusedLogins)
    told: dict[EndpointName, Session] = field(default_factory=dict)


LeaveBehind = Callable[[], None]
"""Notes in the attempt what a session left behind, once it has said goodbye."""


def _nothing() -> None:
    pass


@dataclass(kw_only=True, slots=True)
class _Attempt:
    """What is known so far of one connection."""

    endpoint: Endpoint
    kit: Kit
    journal: Journal
    token: str
    verbs: list[str]
    looked_up: LookedUp | None = None
    local_header: bool = False
    only_greeting: bool = False
    address: Address | None = None
    dialled: Dialled | None = None
    imprint: Imprint = NO_IMPRINT
    certificate_expiry: float | None = None
    id_moments: IdMoments = field(default_factory=dict)
    delivery: Delivery | None = None
    errand: Errand | None = None
    fault: Fault | None = None

    @property
    def tls(self) -> tuple[ssl.SSLContext, str]:
        """Context and server name of this endpoint's handshakes."""
        options = self.endpoint.tls
        try:
            return self.kit.contexts.context(options), options.server_name or self.endpoint.host
        except OSError as error:
            detail = f"tls.ca_file {options.ca_file} cannot be used: {error.strerror or error}"
            raise Refusal(Failure.VANTAGE, detail) from None


async def open_session(
    endpoint: Endpoint,
    kit: Kit,
    verbs: list[str],
    looked_up: LookedUp | None = None,
    broken_off: Callable[[Session], None] = lambda _: None,
) -> Session:
    """One session with the fingerprint `verbs`; failures and their control connections are part of the value.

    `looked_up`: what the lookup of its host came to, where the caller waited for a place after it. `broken_off` gets
    what there was of a session that is cancelled: its lines come all the same.
    """
    looked_up = looked_up or await look_up(endpoint, kit.lookups, kit.clock)
    endpoint = endpoint.pinned(looked_up.at)
    attempt = _attempt(endpoint, kit, verbs, looked_up)
    limits = endpoint.timeouts
    left = max(limits.session - looked_up.seconds, min(limits.session, limits.connect))
    session = None
    try:
        await _run(attempt, left)  # a slow resolver leaves time to connect, else it would look like a silent drop
        session = _session(attempt)
        while not _is_told(session, kit) and (kind := called_for(session)) is not None:
            control = await _control(kind, session, endpoint, kit)
            session = replace(session, controls=(*session.controls, control))
    except asyncio.CancelledError:
        broken_off(session or _broken_off(attempt))
        raise
    return session


def _broken_off(attempt: _Attempt) -> Session:
    """It has waited until now, as one whose time was up."""
    attempt.fault = attempt.fault or _fault(Refusal(Failure.TIMED_OUT, "broken off"), attempt.journal)
    return _session(attempt)


def _is_told(session: Session, kit: Kit) -> bool:
    known = kit.told.get(session.endpoint)
    return known is not None and fails_alike(session, known)


async def open_claiming(endpoint: Endpoint, claim: Peer, kit: Kit, verbs: list[str]) -> Session:
    """One session whose PROXY header claims to be somebody else: no password goes there, and no control connection."""
    version = ProxyHeader.V2 if endpoint.proxy_header is ProxyHeader.NONE else endpoint.proxy_header
    imprint = ImprintKind.FINGERPRINT if endpoint.service.speaks_smtp else ImprintKind.SESSION
    forged = replace(endpoint, proxy_header=version, claim=claim, login=None, mailbox=None, imprint=imprint)
    attempt = _attempt(forged, kit, verbs)
    await _run(attempt, endpoint.timeouts.session)
    return _session(attempt)


def goes_to_mailbox(session: Session) -> bool:
    """True where a message of ours may be there, or was refused: a full mailbox may be full of our leftovers."""
    fault = session.fault
    refused = fault is not None and (fault.phase, fault.failure) == (Phase.DELIVERY, Failure.REJECTED)
    return session.delivery is not None or refused


async def read_back(session: Session, mailbox: Mailbox, kit: Kit) -> Session:
    """The session with what became of its message, which is deleted where it is found; leftovers are swept."""
    from probe.sessions.mailbox import Errand  # noqa: PLC0415 - few ask for it

    delivery, patience = session.delivery, mailbox.reader.timeouts.evidence
    untold = min(patience, UNTOLD_SECONDS)
    waiting = 0.0 if delivery is None else patience if delivery.accepted else untold
    errand = Errand(token=session.id, recipient=mailbox.recipient, until=session.closed + waiting, clock=kit.clock)
    attempt = _attempt(replace(mailbox.reader, imprint=ImprintKind.NONE), kit, [])
    attempt.errand = errand
    await _run(attempt, waiting + mailbox.reader.timeouts.session)
    if delivery is None:
        return session
    now = errand.found or kit.clock()
    trouble = "" if errand.found else _trouble(attempt, errand, waiting)
    delivery = replace(delivery, found=errand.found, header=errand.header, trouble=trouble)
    others = tuple(timing for timing in session.phases if timing.phase is not Phase.DELIVERY)
    delay = PhaseTiming(phase=Phase.DELIVERY, seconds=now - delivery.begun)
    return replace(session, phases=(*others, delay), delivery=delivery)


def _trouble(attempt: _Attempt, errand: Errand, waited: float) -> str:
    detail = "the server found a message and did not show its header" if errand.unshown else ""
    if attempt.fault is not None or detail:
        detail = attempt.fault.detail if attempt.fault else detail
        return f"the mailbox could not be read back over {attempt.endpoint}: {detail}"
    return (
        f"the server took our message, but it was not in INBOX within {waited:g} s (delayed, filtered into another "
        "folder or bounced); if it still comes, a later run deletes it"
    )


async def open_beat(endpoint: Endpoint, kit: Kit) -> Beat | None:
    """One extra connection of a rhythm, without login; None if it did not come through."""
    plain = replace(endpoint, login=None, imprint=ImprintKind.NONE)
    attempt = _attempt(plain, kit, [])
    await _run(attempt, endpoint.timeouts.session)
    if attempt.fault is not None or not attempt.id_moments:
        return None
    return Beat(id_moments=attempt.id_moments, client=attempt.dialled.client if attempt.dialled else None)


def _attempt(endpoint: Endpoint, kit: Kit, verbs: list[str], looked_up: LookedUp | None = None) -> _Attempt:
    spent = looked_up.seconds if looked_up else 0.0
    journal = Journal(kit.clock, secrets=_forms(endpoint.login) if endpoint.login else (), spent=spent)
    return _Attempt(endpoint=endpoint, kit=kit, journal=journal, token=kit.token(), verbs=verbs, looked_up=looked_up)


def _forms(login: Login) -> tuple[str, ...]:
    """The password and what goes onto the wire for it; in whatever quoting it comes back (model/mask.py)."""
    password = login.password.reveal()
    plain = (f"\0{login.username}\0{password}", f"{login.username}\0{login.username}\0{password}", password)
    encoded = (b64encode(text.encode("utf-8", "surrogatepass")).decode() for text in plain)
    return (password, *encoded)


async def _control(kind: ControlKind, session: Session, endpoint: Endpoint, kit: Kit) -> Control:
    if kind is ControlKind.CONNECT:
        return await knock(endpoint, Journal(kit.clock), kit.ports, kit.lookups)
    if kind is ControlKind.SILENT:
        failed_after = session.closed - (session.connected or session.closed)
        return await listen(endpoint, Journal(kit.clock), failed_after + LISTEN_SECONDS, kit.ports, kit.lookups)
    headerless = replace(endpoint, proxy_header=ProxyHeader.NONE, login=None, imprint=ImprintKind.NONE)
    attempt = _attempt(headerless, kit, [])
    attempt.local_header = kind is ControlKind.LOCAL_HEADER
    attempt.only_greeting = True
    await _run(attempt, min(CONTROL_SECONDS, endpoint.timeouts.session))
    seconds = kit.clock() - attempt.journal.opened
    return Control(kind=kind, worked=attempt.fault is None, seconds=seconds, fault=attempt.fault)


async def _run(attempt: _Attempt, seconds: float) -> None:
    """Converse within `seconds`; every outcome but our own bugs becomes the attempt's fault.

    The farewell comes after the timeout and has its own bound: a server slow to say goodbye has served well.
    """
    try:
        async with AsyncExitStack() as farewell, Bound(seconds):
            leave_behind = await _converse(attempt, farewell)
        leave_behind()
    except Exception as error:
        refusal = as_refusal(error)
        if refusal is None:
            raise
        attempt.fault = _fault(refusal, attempt.journal)


def _fault(refusal: Refusal, journal: Journal) -> Fault:
    phase = journal.failed or journal.reached
    lost = refusal.failure in (Failure.CLOSED, Failure.RESET, Failure.TIMED_OUT)
    broken = lost and journal.broke_handshake
    detail = f"{refusal.detail} (in the TLS handshake)" if broken else refusal.detail
    reply = refusal.reply
    return Fault(
        phase=phase,
        failure=Failure.TLS_BROKEN if broken else on_the_way(refusal.failure, phase),
        detail=journal.plain(detail)[:KEPT_CHARACTERS],
        reply=reply and "\n".join(journal.plain(line) for line in reply.split("\n"))[: 2 * KEPT_CHARACTERS],
    )


async def _converse(attempt: _Attempt, farewell: AsyncExitStack) -> LeaveBehind:
    endpoint, journal = attempt.endpoint, attempt.journal
    context, name = attempt.tls
    family, address = await _way(attempt)
    attempt.address = plain_address(address[0])
    attempt.dialled = dialled = await connect(endpoint, family, address, journal, attempt.kit.ports)
    farewell.callback(dialled.end)
    await send_header(endpoint, dialled, journal, local=attempt.local_header)
    if not endpoint.service.speaks_smtp:
        transport, imap_wire = await hand_over(dialled, lambda: imap.ImapWire(journal), journal, context, name)
        return await _imap(attempt, await farewell.enter_async_context(imap.Conversation(imap_wire, transport)))
    first = context if endpoint.service.tls_first else None
    transport, smtp_wire = await hand_over(dialled, lambda: smtp.SmtpWire(journal), journal, first, name)
    talk = smtp.Conversation(smtp_wire, transport, name=attempt.kit.name)
    return await _smtp(attempt, await farewell.enter_async_context(talk))


async def _way(attempt: _Attempt) -> Way:
    if attempt.looked_up is None:
        return await resolve(attempt.endpoint, attempt.journal, attempt.kit.lookups)
    with attempt.journal.phase(Phase.RESOLVE):
        return attempt.looked_up.way()


async def _smtp(attempt: _Attempt, talk: smtp.Conversation) -> LeaveBehind:
    endpoint = attempt.endpoint
    await talk.greeted()
    if attempt.local_header and not endpoint.service.tls_first:
        # A server that wants no header greets before it reads one, and answers its octets, among them a QUIT, then.
        await talk.hello(endpoint.service)
    if attempt.only_greeting:
        return _nothing
    await talk.hello(endpoint.service)
    if not endpoint.service.tls_first:
        await talk.encrypt(endpoint.service, *attempt.tls)
    attempt.certificate_expiry = certificate_expiry(talk.encrypted)
    await _log_in(attempt, talk)
    await talk.leave_imprint(endpoint.imprint, attempt.verbs, attempt.token)
    if endpoint.mailbox is not None:
        with attempt.journal.phase(Phase.DELIVERY):
            await _deliver(attempt, talk, endpoint.mailbox)

    def leave_behind() -> None:
        attempt.imprint = talk.imprint(endpoint.imprint, attempt.token)

    return leave_behind


async def _deliver(attempt: _Attempt, talk: smtp.Conversation, mailbox: Mailbox) -> None:
    from probe.sessions import deliver  # noqa: PLC0415 - few ask for it

    clock, limits = attempt.kit.clock, attempt.endpoint.timeouts
    begun = clock()
    letter = deliver.Letter.to(mailbox, attempt.token, begun)
    await deliver.offer(talk, letter, min(limits.evidence, limits.session / 2))
    # From here on the message may be there, whatever we hear of it.
    attempt.delivery = Delivery(begun=begun, helo=talk.name)
    queue_id = await deliver.hand_over(talk, letter)
    attempt.delivery = replace(attempt.delivery, accepted=True, queue_id=queue_id)


async def _imap(attempt: _Attempt, talk: imap.Conversation) -> LeaveBehind:
    endpoint = attempt.endpoint
    attempt.certificate_expiry = certificate_expiry(talk.encrypted)
    await talk.greeted()
    connected = attempt.dialled.connected if attempt.dialled else attempt.journal.opened
    accepted = Span(connected, attempt.journal.clock())
    if attempt.only_greeting:
        return _nothing
    await talk.hello()
    if endpoint.imprint is ImprintKind.ID:
        await talk.leave_imprint(endpoint.imprint, attempt.token)
    await _log_in(attempt, talk)
    if attempt.errand is not None:
        await attempt.errand.run(talk)

    def leave_behind() -> None:
        attempt.imprint = talk.imprint(endpoint.imprint, attempt.token, endpoint.login)
        attempt.id_moments = {IdMoment.ACCEPTED: accepted, IdMoment.NEEDED: talk.wire.needed}

    return leave_behind


async def _log_in(attempt: _Attempt, talk: smtp.Conversation | imap.Conversation) -> None:
    """Where a login is configured; one that the server refused lately is left out, and ends the session there."""
    endpoint, journal, refused = attempt.endpoint, attempt.journal, attempt.kit.refused
    if endpoint.login is None:
        return
    began = journal.clock()
    if (why := refused.begin_try(endpoint, began)) is not None:
        journal.failed = Phase.LOGIN  # without a time, for it did not run
        raise Refusal(Failure.LOGIN_HELD, why)
    try:
        await talk.log_in(endpoint.login)
    except Refusal as error:
        if error.failure is Failure.BAD_CREDENTIALS and error.reply is not None:
            refused.refused(endpoint, journal.plain(error.reply), began=began, now=journal.clock())
        raise
    refused.taken(endpoint)


def _session(attempt: _Attempt) -> Session:
    endpoint, journal, dialled = attempt.endpoint, attempt.journal, attempt.dialled
    client = endpoint.claim or (dialled.client if dialled else None)
    return Session(
        id=attempt.token,
        path=endpoint.path,
        service=endpoint.service,
        host=endpoint.host,
        address=attempt.address,
        port=endpoint.port,
        client=client,
        expected=_expected(endpoint.expected, client),
        opened=journal.opened,
        connected=dialled.connected if dialled else None,
        closed=journal.clock(),
        phases=tuple(journal.phases),
        fault=attempt.fault,
        imprint=attempt.imprint,
        server_spoke=journal.server_spoke,
        transcript=journal.told(),
        certificate_expiry=attempt.certificate_expiry,
        header_sent=endpoint.proxy_header,
        server_name=endpoint.tls.server_name,
        id_moments=attempt.id_moments,
        delivery=attempt.delivery,
    )


def _expected(configured: tuple[Network, ...], client: Peer | None) -> tuple[Network, ...]:
    """What the configuration expects; over a family of which it says nothing, our own socket address."""
    if client is None or any(network.version == client.address.version for network in configured):
        return configured
    return (*configured, ip_network(client.address))
