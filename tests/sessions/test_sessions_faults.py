"""The table of exceptions: whatever a server or a network can raise is a fault, and our own bugs are not."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import ssl

import aiosmtplib
import pytest
from aioimaplib import aioimaplib

from probe.aside import Hangs, NoThread
from probe.model import Failure, Phase
from probe.sessions.faults import Refusal, as_refusal, before_the_syn, on_the_way


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


TABLE = (
    (Refusal(Failure.NOT_OFFERED, "no"), Failure.NOT_OFFERED),
    (ssl.SSLCertVerificationError(1, "expired"), Failure.CERTIFICATE_INVALID),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), Failure.TLS_BROKEN),
    (ssl.SSLEOFError(8, "EOF"), Failure.TLS_BROKEN),
    (ssl.SSLZeroReturnError(6, "closed"), Failure.TLS_BROKEN),
    (aiosmtplib.SMTPResponseException(554, "no"), Failure.REJECTED),
    (aiosmtplib.SMTPResponseException(-1, "junk"), Failure.PROTOCOL_BROKEN),
    (aiosmtplib.SMTPResponseException(421, "Error: too many connections from x"), Failure.RATE_LIMITED),
    (aiosmtplib.SMTPResponseException(421, "All server ports are busy"), Failure.RATE_LIMITED),
    (aiosmtplib.SMTPResponseException(421, "Error: too many errors"), Failure.REJECTED),
    (aiosmtplib.SMTPResponseException(452, "Error: too many recipients"), Failure.REJECTED),
    (aiosmtplib.SMTPTimeoutError("slow"), Failure.TIMED_OUT),
    (aiosmtplib.SMTPServerDisconnected("gone"), Failure.CLOSED),
    (_caused(aiosmtplib.SMTPServerDisconnected("gone"), _os_error(errno.ECONNRESET)), Failure.RESET),
    (_caused(aiosmtplib.SMTPServerDisconnected("gone"), ssl.SSLError(1, "alert")), Failure.TLS_BROKEN),
    (TimeoutError(), Failure.TIMED_OUT),
    (ConnectionAbortedError("SSL handshake is taking longer than 60.0 seconds"), Failure.TIMED_OUT),
    (ConnectionResetError(), Failure.CLOSED),
    (EOFError(), Failure.CLOSED),
    (UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal not in range"), Failure.VANTAGE),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), Failure.PROTOCOL_BROKEN),
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Failure.NAME_UNKNOWN),
    (_os_error(errno.ECONNREFUSED), Failure.REFUSED),
    (_os_error(errno.ECONNRESET), Failure.RESET),
    (_os_error(errno.EPIPE), Failure.RESET),
    (_os_error(errno.ETIMEDOUT), Failure.VANISHED),
    (_os_error(errno.EHOSTUNREACH), Failure.UNREACHABLE),
    (_os_error(errno.ENETUNREACH), Failure.UNREACHABLE),
    (_os_error(errno.EACCES), Failure.UNREACHABLE),
    (_os_error(errno.EADDRNOTAVAIL), Failure.VANTAGE),
    (_os_error(errno.EMFILE), Failure.VANTAGE),
    (_os_error(errno.EPERM), Failure.VANTAGE),
    (_os_error(errno.EINVAL), Failure.VANTAGE),
    (ValueError("ours"), None),
    (KeyError("ours"), None),
    (AssertionError(), None),
)


@pytest.mark.parametrize(("error", "failure"), TABLE, ids=lambda case: repr(case)[:60])
def test_table(error: Exception, failure: Failure | None) -> None:
    found = as_refusal(error)
    assert (found.failure if found else None) is failure
    assert found is None or found.detail


@pytest.mark.parametrize("error", [NoThread(), Hangs(2.0), _os_error(errno.EMFILE)])
def test_an_error_is_told_in_its_own_words(error: OSError) -> None:
    """Not in those of its number: "Cannot allocate memory" of threads that hang sends somebody to look for memory."""
    found = as_refusal(error)
    assert found is not None
    assert found.detail == error.strerror


def _raised_by(module: object, base: type[Exception]) -> list[type[Exception]]:
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, base)]
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    "kind",
    [
        *_raised_by(aiosmtplib.errors, aiosmtplib.SMTPException),
        *_raised_by(aioimaplib, aioimaplib.AioImapException),
        *_raised_by(ssl, ssl.SSLError),
        *_raised_by(socket, OSError),
    ],
)
def test_every_exception_of_the_libraries_is_a_fault(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        error.code, error.message = 500, "no"
    assert as_refusal(error) is not None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EINVAL])
def test_what_connect_forbids_before_a_syn_has_left_is_the_vantage_s(number: int) -> None:
    """EACCES is the network's word once a SYN has left, and this machine's as long as none has."""
    assert _at_once(number) is Failure.VANTAGE


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_what_is_unreachable_at_once_though_a_route_leads_there_is_not_the_vantage_s(number: int) -> None:
    """So says a load balancer at the socket of a service without endpoints."""
    assert _at_once(number) is Failure.UNREACHABLE


def _at_once(number: int) -> Failure:
    with socket.socket() as sock:
        return before_the_syn(number, sock, ("127.0.0.1", 25)).failure


@pytest.mark.parametrize("phase", list(Phase))
def test_before_there_is_a_connection_a_lost_way_is_a_syn_s_and_later_the_server_s(phase: Phase) -> None:
    connected = phase not in (Phase.RESOLVE, Phase.CONNECT)
    assert on_the_way(Failure.VANISHED, phase) is (Failure.VANISHED if connected else Failure.TIMED_OUT)
    assert on_the_way(Failure.UNREACHABLE, phase) is (Failure.VANISHED if connected else Failure.UNREACHABLE)
    for failure in set(Failure) - {Failure.VANISHED, Failure.UNREACHABLE}:
        assert on_the_way(failure, phase) is failure
