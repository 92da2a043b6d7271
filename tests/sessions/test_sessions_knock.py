"""Knocks on real sockets: what the other side gets to see of them, and what they find."""

from __future__ import annotations

import contextlib
import queue
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from probe.model import EndpointName, Failure, Knock, Service
from probe.sessions.faults import SocketAddress
from probe.sessions.knock import PATIENCE, Aim, Knocker, Make

SMTP = EndpointName("vip", Service.SMTP, 25)
IMAPS = EndpointName("vip", Service.IMAPS, 993)
SOON = 10.0


class Heard:
    """What a knocker told, to be waited for."""

    def __init__(self, knocker_of: list[Aim], *, interval: float = 0.05, make: Make | None = None) -> None:
        self._told: queue.Queue[tuple[EndpointName, Knock]] = queue.Queue()
        self.knocker = Knocker(knocker_of, interval, time.time, self._tell, make=make)

    def _tell(self, name: EndpointName, knock: Knock) -> None:
        self._told.put((name, knock))

    def next(self) -> tuple[EndpointName, Knock]:
        return self._told.get(timeout=SOON)

    def until(self, failure: Failure | None) -> Knock:
        while True:
            _, knock = self.next()
            if knock.failure is failure:
                return knock

    def __enter__(self) -> Heard:
        self.knocker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.knocker.stop()
        assert self.knocker.failed is None


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as one:
        one.bind((request.param, 0))
        one.listen(1)
        one.settimeout(0)
        yield one


def plain_socket(aim: Aim) -> socket.socket:
    return socket.socket(aim.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def aim_at(listener: socket.socket, name: EndpointName = SMTP) -> Aim:
    return Aim(name, listener.family, listener.getsockname())


def test_the_server_s_program_sees_nothing(listener: socket.socket) -> None:
    with Heard([aim_at(listener)]) as heard:
        found = [heard.next()[1] for _ in range(20)]
    assert [knock.failure for knock in found] == [None] * 20
    with pytest.raises(BlockingIOError):
        listener.accept()
    # A machine that stood still for 0.2 s amid a knock completes the handshake, and says so.
    assert sum(knock.counted for knock in found) <= 1


def test_a_handshake_that_is_completed_is_told_and_ends_politely(listener: socket.socket) -> None:
    with Heard([aim_at(listener)], interval=30.0, make=plain_socket) as heard:
        assert heard.next()[1].counted
        listener.settimeout(SOON)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(SOON)
            assert accepted.recv(10) == b"", "an orderly end, no reset"
            accepted.sendall(b"220 somebody\r\n")


def test_refusals_and_silence(listener: socket.socket) -> None:
    """A listener whose queue is full drops SYNs; a port that nobody listens on refuses."""
    with socket.socket(listener.family) as closed, contextlib.ExitStack() as fillers:
        closed.bind((listener.getsockname()[0], 0))
        for _ in range(4):
            filler = fillers.enter_context(socket.socket(listener.family))
            filler.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        with Heard([aim_at(listener), Aim(IMAPS, closed.family, closed.getsockname())], interval=0.1) as heard:
            refused = heard.until(Failure.REFUSED)
            silent = heard.until(Failure.TIMED_OUT)
            nextone = heard.until(Failure.TIMED_OUT)
    assert refused.seconds < PATIENCE <= silent.seconds
    assert nextone.at - silent.at < PATIENCE, "they overlap"


def test_told_in_the_order_in_which_they_were_sent(listener: socket.socket) -> None:
    """Answers after a silence come at once, and wait for those before them."""
    fillers = [socket.socket(listener.family) for _ in range(4)]
    for filler in fillers:
        filler.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            filler.connect(listener.getsockname())
    with Heard([aim_at(listener)], interval=0.1) as heard:
        silent = heard.until(Failure.TIMED_OUT)
        for filler in fillers:
            filler.close()
        listener.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while True:
                listener.accept()[0].close()
        found = [silent]
        while found[-1].failure is not None:
            found.append(heard.next()[1])
    assert [knock.at for knock in found] == sorted(knock.at for knock in found)


def test_held_and_released(listener: socket.socket) -> None:
    with Heard([aim_at(listener)]) as heard:
        first = heard.next()[1]
        heard.knocker.hold(SMTP, first.at + 1.0)
        found = heard.next()[1]
        while found.at < first.at + 1.0:
            found = heard.next()[1]
        assert found.spacing > 0.5, "what was meant is told with it"
        heard.knocker.hold(SMTP, found.at + 1000.0)
        heard.knocker.release(SMTP)
        assert heard.next()[1].at < found.at + SOON


def test_a_name_that_comes_to_mean_another_address(listener: socket.socket) -> None:
    nowhere: SocketAddress | None = None
    aim = Aim(SMTP, 0, nowhere)
    with Heard([aim]) as heard:
        heard.knocker.lead(SMTP, listener.family, listener.getsockname())
        assert heard.next()[1].failure is None


def test_a_source_address_that_is_not_ours_says_nothing_about_the_server(listener: socket.socket) -> None:
    source = ip_address("2001:db8::1" if listener.family == socket.AF_INET6 else "192.0.2.1")
    with Heard([Aim(SMTP, listener.family, listener.getsockname(), source=source)]) as heard:
        assert heard.next()[1].failure is Failure.VANTAGE


def test_everybody_is_knocked_at_soon_however_long_the_interval(listener: socket.socket) -> None:
    began = time.time()
    with Heard([aim_at(listener), aim_at(listener, IMAPS)], interval=60.0) as heard:
        assert {heard.next()[0] for _ in range(2)} == {SMTP, IMAPS}
    assert time.time() - began < SOON


def test_at_rest_no_knock_is_sent_and_nobody_has_missed_it(listener: socket.socket) -> None:
    with Heard([aim_at(listener)], interval=0.2) as heard:
        heard.next()
        heard.knocker.rest()
        while heard.knocker.hears:
            time.sleep(0.001)  # a thread's turn, of which nobody tells
        last = time.time()
        with contextlib.suppress(queue.Empty):
            while True:
                assert heard._told.get(timeout=0.5)[1].at <= last
        heard.knocker.go_on()
        knock = heard.next()[1]
        assert knock.at - last < 3 * knock.spacing, "the pause was meant"
        assert knock.spacing > 0.4
