"""The count of all clients that the watch keeps: each once, however many sources tell of it."""

from __future__ import annotations

import time
from ipaddress import ip_network

from probe.evidence.clients import by_network
from probe.evidence.events import Line, Stamp
from probe.evidence.repeats import Telling
from probe.evidence.sources.source import Lines
from probe.evidence.whose import Names
from probe.model import MaskedBy, Networks
from probe.service.watch import Watch
from tests.service.test_hearing import Script

NODE = b"Nov 22 18:29:06 mail postfix/smtpd[7]: connect from unknown[10.0.20.102]\n"
STRANGER = b"Nov 22 18:29:06 mail postfix/smtpd[7]: connect from unknown[198.51.100.7]\n"
LOGIN = b"Nov 22 18:29:06 imap-login: Info: Login: user=<x>, method=PLAIN, rip=10.0.20.102, lip=10.10.1.5, TLS\n"
NAMES = Names(networks=Networks(nodes=(ip_network("10.0.20.102"),)))


async def watched(*given: bytes) -> dict[MaskedBy, int]:
    sources = [Script(Lines(1000.0, text)) for text in given]
    for number, source in enumerate(sources):
        source.name = f"script{number}"
    async with Watch(sources, time.time, NAMES) as watch:
        for source in sources:
            await source.told.wait()
        return {network: count for network, count in by_network(watch.clients()).items() if count}


async def test_clients_are_counted_by_whose_address_they_show() -> None:
    assert await watched(NODE + NODE + STRANGER) == {MaskedBy.NODE: 2, MaskedBy.OTHER: 1}


async def test_two_sources_of_one_log_count_once() -> None:
    assert await watched(NODE + NODE + STRANGER, NODE + STRANGER + NODE) == {MaskedBy.NODE: 2, MaskedBy.OTHER: 1}


async def test_two_logs_count_both() -> None:
    assert await watched(NODE + STRANGER, LOGIN) == {MaskedBy.NODE: 2, MaskedBy.OTHER: 1}


def said(message: str, second: float | None = None) -> Line:
    return Line(message=message, program="a/smtpd", pid=7, stamp=None if second is None else Stamp(second, 1e-6))


class TestTelling:
    def test_of_two_that_one_log_has_each_source_tells_both(self) -> None:
        telling = Telling()
        told = [telling.is_new(source, said("x")) for source in ("a", "b", "b", "a", "a", "b")]
        assert told == [True, False, True, False, True, False]

    def test_what_a_shipper_doubles_is_one_line(self) -> None:
        telling = Telling()
        assert [telling.is_new("a", said("x", second)) for second in (1.0, 1.0, 2.0)] == [True, False, True]

    def test_what_was_told_long_ago_is_forgotten_whole(self) -> None:
        telling = Telling(most=4)
        assert telling.is_new("a", said("x"))
        assert all(telling.is_new("a", said(f"y{number}")) for number in range(10))
        assert telling.is_new("b", said("x"))
        assert not telling.is_new("a", said("x"))
