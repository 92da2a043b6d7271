"""Exceptions to faults: the one place where an error becomes a value.

Rule 1: a session ends in a value; whatever a server, a network or a clock does is an outcome, not an error.
Rule 2: the table goes from the special to the general; the first row that matches the exception wins.
Rule 3: what no row names is our own bug and propagates.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

import aioimaplib
import aiosmtplib

from probe.model import Failure, Phase


class Refusal(Exception):
    """The server answered, but not with the success that was due."""

    def __init__(self, failure: Failure, detail: str, reply: str | None = None) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.reply = reply


SocketAddress = tuple[str, int] | tuple[str, int, int, int]

DISCARD = 9
"""The port that nobody answers on (RFC 863): what stands for the server's own port is not asked."""

UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EACCES}
"""EACCES is Linux's word for an ICMPv6 error: administratively prohibited, failed policy, reject route
(net/ipv6/icmp.c), where the same of IPv4 is EHOSTUNREACH."""

OURS = {
    errno.EADDRNOTAVAIL,
    errno.EADDRINUSE,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EAFNOSUPPORT,
    errno.EINVAL,
}

# Postfix anvil ("too many connections", "too many new TLS sessions", "too many AUTH commands"), postscreen ("All
# server ports are busy"), Dovecot ("Maximum number of connections"); "too many errors" and the like are about this
# session, not about how many there were.
TOO_MANY = re.compile(
    r"too many (?:concurrent |simultaneous )?connections|too many new TLS sessions|too many AUTH commands"
    r"|all (?:server|screening) ports are busy|connection rate|maximum number of connections",
    re.I,
)


def os_failure(error: OSError) -> Failure:
    """What an errno says about the network between us and the server."""
    match error.errno:
        case errno.ECONNREFUSED:
            return Failure.REFUSED
        case errno.ETIMEDOUT:
            return Failure.VANISHED
        case number if number in UNREACHABLE:
            return Failure.UNREACHABLE
        case number if number in OURS:
            return Failure.VANTAGE
        case _:
            return Failure.RESET


def before_the_syn(number: int, sock: socket.socket, address: SocketAddress) -> Refusal:
    """What an errno says that connect() gives at once: nothing has left yet, so it is this machine that says it.

    EACCES: a route that prohibits, a security module (connect(2)). The network's comes later, as the socket's error.
    Where no route leads there it says so (NO_ROUTE); where one does, a load balancer at the socket may have said that
    it is unreachable, of a service without endpoints.
    """
    said = os.strerror(number)
    if number == errno.EACCES:
        return Refusal(Failure.VANTAGE, said)
    if number in UNREACHABLE and not _has_route(sock, address):
        return Refusal(Failure.NO_ROUTE, said)
    return Refusal(os_failure(OSError(number, said)), said)


def _has_route(sock: socket.socket, address: SocketAddress) -> bool:
    """Whether this machine knows a way: connect() of a datagram socket asks for one, and sends nothing."""
    try:
        with socket.socket(sock.family, socket.SOCK_DGRAM) as asks:
            asks.bind((sock.getsockname()[0], 0))
            asks.connect((address[0], DISCARD, *address[2:]))
    except OSError:
        return False
    return True


def on_the_way(failure: Failure, phase: Phase) -> Failure:
    """Of a lost way, which word fits: before there is a connection a SYN times out, on an open one the server vanishes.

    An ICMP error on an open connection is only remembered by Linux, and told when it gives up (tcp(7)).
    """
    connected = phase not in (Phase.RESOLVE, Phase.CONNECT)
    match failure:
        case Failure.UNREACHABLE if connected:
            return Failure.VANISHED
        case Failure.VANISHED if not connected:
            return Failure.TIMED_OUT
        case _:
            return failure


def refusal(code: int, text: str) -> Refusal:
    """An SMTP reply with an error code where success was due."""
    if code < 0:
        return Refusal(Failure.PROTOCOL_BROKEN, f"the server broke the protocol: {text}", None)
    return rejection(f"{code} {text}")


def rejection(reply: str) -> Refusal:
    """Any protocol's reply where success was due."""
    if TOO_MANY.search(reply):
        return Refusal(Failure.RATE_LIMITED, "the server refused for too many connections", reply)
    return Refusal(Failure.REJECTED, f"the server answered {reply}", reply)


def as_refusal(error: BaseException) -> Refusal | None:  # noqa: C901, PLR0911 - a table of exception types
    """The fault an exception stands for, None where it is a bug of ours."""
    match error:
        case Refusal():
            return error
        case ssl.SSLCertVerificationError():
            why = str(getattr(error, "verify_message", error)).rstrip(".")
            return Refusal(Failure.CERTIFICATE_INVALID, f"certificate check failed: {why}")
        case aiosmtplib.SMTPServerDisconnected(__cause__=OSError() as cause):
            return as_refusal(cause)
        case ssl.SSLError():
            return Refusal(Failure.TLS_BROKEN, f"TLS failed: {getattr(error, 'reason', None) or error}")
        case aiosmtplib.SMTPResponseException():
            return refusal(error.code, error.message)
        case (
            aiosmtplib.SMTPTimeoutError()
            | aioimaplib.CommandTimeout()
            | TimeoutError(errno=None)
            | ConnectionAbortedError(errno=None)
        ):
            # without a number it is our own bound, or asyncio's of a handshake
            return Refusal(Failure.TIMED_OUT, "no answer in time")
        case aiosmtplib.SMTPServerDisconnected() | EOFError() | ConnectionResetError(errno=None):
            # asyncio says ConnectionResetError, without a number, to a FIN in the handshake as well
            return Refusal(Failure.CLOSED, "the server closed the connection")
        case UnicodeEncodeError():
            return Refusal(Failure.VANTAGE, f"the configuration holds what cannot be sent: {error.reason}")
        case aiosmtplib.SMTPException() | aioimaplib.AioImapException() | UnicodeError():
            return Refusal(Failure.PROTOCOL_BROKEN, f"the server broke the protocol: {error}")
        case socket.gaierror():
            return Refusal(Failure.NAME_UNKNOWN, error.strerror or str(error))
        case OSError():
            return Refusal(os_failure(error), error.strerror or str(error))
        case _:
            return None
