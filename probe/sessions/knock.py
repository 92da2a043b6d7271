"""Knock: one SYN, one look at what comes back, and no connection that the server's program ever sees.

    client  SYN ──▶            the socket is told not to acknowledge at once (TCP_QUICKACK off), so the kernel owes the
            ◀── SYN-ACK        last ACK of the handshake for 200 ms; it is closed within a few of them, and with
            RST ──▶            SO_LINGER 0 what leaves is a reset: the server's kernel forgets what no program has seen

So nothing is counted (anvil, postscreen, Dovecot, fail2ban) and nothing is logged, and yet the path, the announcer,
kube-proxy's rules and the listener are all in the answer. HAProxy's TCP checks do the same. No privilege is needed.

Rules of this file:
- A knock is over before its SYN would be sent again (1 s): it is about the moment at which it left, or as much later as
  its answer took longer than others (a SYN may wait for a neighbour).
- Knocks overlap: one that waits for an answer keeps none of the next ones waiting.
- tcp_info says whether the ACK went out after all (a machine that stood still, a kernel that does not delay). Then the
  server has counted a connection: it is told, and closed like a client that changed its mind, since a reset would make
  Postfix log an unknown client and may make an smtpd behind a proxy give up.
- A thread of its own: what the event loop is busy with must neither delay a SYN nor leave one unfinished. What it
  finds is told in the order in which knocks were sent.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from probe.model import Address, Clock, EndpointName, Failure, Knock
from probe.sessions.faults import SocketAddress, before_the_syn, os_failure

PATIENCE = 0.9
"""Seconds for an answer: less than the second after which Linux sends a SYN again (RFC 6298)."""

PAUSE = PATIENCE + 0.3
"""Seconds after a knock that was counted without another one: earlier ones may keep it from being told so long."""

ALL_WITHIN = 1.0
"""Seconds from the start within which every aim has had its first knock, however long the interval is."""

BURST = 400.0
"""First knocks a second at most."""

FAREWELL = 5.0
"""Seconds for a server to let go of a connection that it has counted."""

LONGEST_REST = 0.1
"""Seconds after which the thread looks whether it is to end."""

RESET = struct.pack("ii", 1, 0)
ONLY_THE_SYN = 1
TCPI_TOTAL_RETRANS, TCPI_SEGS_OUT = slice(100, 104), slice(136, 140)
"""Where Linux's struct tcp_info keeps them (include/uapi/linux/tcp.h; segs_out since Linux 4.2)."""

IP_BIND_ADDRESS_NO_PORT = 24
FOREVER = float("inf")


@dataclass(slots=True)
class Aim:
    """Where to knock, and when next; `address` None: nowhere yet. `source`: the path's own source address.

    `turn`: when its turn is, for the second knock; the first one may come before it.
    """

    name: EndpointName
    family: int
    address: SocketAddress | None
    source: Address | None = None
    due: float = 0.0
    turn: float = 0.0
    last: float | None = None
    held_until: float = 0.0
    paused_until: float = 0.0
    sent: deque[_Sent] = field(default_factory=deque, repr=False)

    @property
    def next(self) -> float:
        """When the next knock may be sent."""
        return max(self.due, self.held_until, self.paused_until)


@dataclass(slots=True)
class _Sent:
    """A knock under way; `found` once it is over."""

    aim: Aim
    at: float
    left: float
    spacing: float
    sock: socket.socket | None = None
    found: Knock | None = None


Tell = Callable[[EndpointName, Knock], None]
Make = Callable[[Aim], socket.socket]


class Knocker:
    """Knocks at every aim each `interval` seconds, in a thread, between `start` and `stop`. `tell` is called there.

    `failed`: the bug of ours that ended the thread. `pauses`: whether one that was counted is followed by none until
    whoever is told had the time to hold the next ones.
    """

    def __init__(
        self, aims: Sequence[Aim], interval: float, clock: Clock, tell: Tell, *, make: Make | None = None
    ) -> None:
        """`make`: what opens a socket, by default one whose handshake the kernel leaves open."""
        self._make = make or quiet_socket
        self._aims = {aim.name: aim for aim in aims}
        self._interval = interval
        self._clock = clock
        self._tell = tell
        self._selector = selectors.DefaultSelector()
        self._leaving: deque[tuple[float, socket.socket]] = deque()
        self._stopped = threading.Event()
        self.failed: BaseException | None = None
        self.pauses = True
        self._resting = False
        self._thread = threading.Thread(target=self._run, name="knock", daemon=True)

    def start(self) -> None:
        """Begin, the aims evenly spread over the interval; where that is long, each is knocked at once beforehand."""
        now, count = self._clock(), len(self._aims)
        first = min(self._interval, max(ALL_WITHIN, count / BURST))
        for number, aim in enumerate(self._aims.values()):
            aim.due, aim.turn = now + number * first / count, now + number * self._interval / count
        self._thread.start()

    def stop(self) -> None:
        """End; knocks under way end with it, and are told as far as they got."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def hears(self) -> bool:
        """Whether a knock is under way."""
        return any(aim.sent for aim in self._aims.values())

    def rest(self) -> None:
        """Send no knock until `go_on`; those under way are heard."""
        self._resting = True

    def go_on(self) -> None:
        """Knock again. Nobody has missed what was not sent meanwhile."""
        now = self._clock()
        for aim in self._aims.values():
            aim.paused_until = max(aim.paused_until, now)
        self._resting = False

    def hold(self, name: EndpointName, until: float) -> None:
        """Do not knock there before this moment."""
        self._aims[name].held_until = until

    def release(self, name: EndpointName) -> None:
        """Knock there again at once."""
        self._aims[name].held_until = 0.0

    def lead(self, name: EndpointName, family: int, address: SocketAddress) -> None:
        """From now on the endpoint is to be found there."""
        aim = self._aims[name]
        aim.family, aim.address = family, address

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._turn()
        except Exception as error:
            self.failed = error  # a bug of ours; whoever waits for knocks looks for it
        finally:
            for aim in self._aims.values():
                for one in aim.sent:
                    self._close(one)
            for _, sock in self._leaving:
                sock.close()
            self._selector.close()

    def _turn(self) -> None:
        now = self._clock()
        for aim in self._aims.values():
            if aim.address is not None and now >= aim.next and not self._resting:
                self._knock(aim, aim.address, now)
        for key, _ in self._selector.select(self._rest()):
            if isinstance(key.data, _Sent):
                self._answered(key.data)
            else:
                self._read(key.data)
        self._give_up()

    def _rest(self) -> float:
        """Seconds until something is to be done."""
        moments = [aim.next for aim in self._aims.values() if aim.address is not None and not self._resting]
        moments += [aim.sent[0].at + PATIENCE for aim in self._aims.values() if aim.sent]
        return min(max(0.0, min(moments, default=FOREVER) - self._clock()), LONGEST_REST)

    def _knock(self, aim: Aim, address: SocketAddress, now: float) -> None:
        waited = 0.0 if aim.last is None else max(aim.held_until, aim.paused_until) - aim.last
        aim.due = aim.turn if aim.turn > now else aim.due + self._interval
        aim.turn = 0.0
        if aim.due <= now:  # turns that passed are left out
            aim.due = now + self._interval
        one = _Sent(aim, now, now, max(self._interval, waited))
        aim.sent.append(one)
        try:
            one.sock = self._make(aim)
            one.at = aim.last = self._clock()
            error = one.sock.connect_ex(address)
            one.left = self._clock()
        except OSError:
            self._over(one, Failure.VANTAGE)
            return
        if error in (0, errno.EINPROGRESS):
            self._selector.register(one.sock, selectors.EVENT_WRITE, one)
        else:
            failure = before_the_syn(error, one.sock, address).failure
            self._over(one, Failure.VANTAGE if failure is Failure.NO_ROUTE else failure)  # nothing was sent

    def _answered(self, one: _Sent) -> None:
        if one.sock is None or one.found is not None:
            return
        error = one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error and error != errno.ECONNRESET:  # a SYN is never reset: that is a refusal. It was answered, then reset
            self._over(one, os_failure(OSError(error, os.strerror(error))))
            return
        resent, completed = _handshake(one.sock)
        self._over(one, Failure.TIMED_OUT if resent else None, counted=completed)

    def _give_up(self) -> None:
        now = self._clock()
        for aim in self._aims.values():
            for one in [one for one in aim.sent if one.found is None and now >= one.left + PATIENCE]:
                self._over(one, Failure.TIMED_OUT)
        while self._leaving and now >= self._leaving[0][0]:
            self._forget(self._leaving.popleft()[1])

    def _over(self, one: _Sent, failure: Failure | None, *, counted: bool = False) -> None:
        one.found = Knock(
            at=one.at,
            left=one.left,
            seconds=self._clock() - one.left,
            failure=failure,
            counted=counted,
            spacing=one.spacing,
        )
        if counted:
            self._leave(one)
            if self.pauses:
                one.aim.paused_until = self._clock() + PAUSE
        else:
            self._close(one)
        sent = one.aim.sent
        while sent and (found := sent[0].found) is not None:
            self._tell(one.aim.name, found)
            sent.popleft()

    def _close(self, one: _Sent) -> None:
        if one.sock is not None:
            self._forget(one.sock)
            one.sock = None

    def _leave(self, one: _Sent) -> None:
        """Say that nothing will come, and read what the server says until it lets go."""
        sock, one.sock = one.sock, None
        if sock is None:
            return
        self._selector.unregister(sock)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        self._selector.register(sock, selectors.EVENT_READ, sock)
        self._leaving.append((self._clock() + FAREWELL, sock))

    def _read(self, sock: socket.socket) -> None:
        with suppress(BlockingIOError):
            try:
                over = not sock.recv(4096)
            except ConnectionError:
                over = True
            if over:
                self._leaving = deque(entry for entry in self._leaving if entry[1] is not sock)
                self._forget(sock)

    def _forget(self, sock: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        sock.close()


def quiet_socket(aim: Aim) -> socket.socket:
    """A socket whose handshake will not be completed at once, and whose end is a reset."""
    sock = socket.socket(aim.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if aim.source is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((str(aim.source), 0))
    except OSError:
        sock.close()
        raise
    return sock


def _handshake(sock: socket.socket) -> tuple[bool, bool]:
    """Whether the SYN had to be sent again, and whether the handshake was completed. Where nobody can tell, it was."""
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_SEGS_OUT.stop)
    except OSError:
        return False, True
    if len(told) < TCPI_SEGS_OUT.stop:
        return False, True
    resent = int.from_bytes(told[TCPI_TOTAL_RETRANS], sys.byteorder)
    return resent > 0, int.from_bytes(told[TCPI_SEGS_OUT], sys.byteorder) > ONLY_THE_SYN + resent
