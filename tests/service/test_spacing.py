"""Moments of our own, for connections to one host and to others that may lead to the same server."""

from __future__ import annotations

from itertools import pairwise

import pytest

from probe.service.spacing import ELSEWHERE, Spacing


@pytest.mark.parametrize("hosts", [["vip"] * 40, [f"way{number}" for number in range(12)]], ids=["one host", "many"])
def test_connections_come_in_one_after_another(hosts: list[str]) -> None:
    spacing = Spacing()
    moments = [spacing.take(host, 100.0, 0.15) for host in hosts]
    assert moments[0] == 100.0
    assert [later - sooner for sooner, later in pairwise(moments)] == pytest.approx([0.15] * (len(hosts) - 1))


def test_none_waits_long_for_those_to_other_hosts() -> None:
    """Nor for a host that has many waiting."""
    spacing = Spacing()
    moments = [spacing.take(f"way{number}", 100.0, 0.15) for number in range(250)]
    assert max(moments) <= 100.0 + ELSEWHERE
    assert [spacing.take("busy", 200.0, 0.15) for _ in range(40)][-1] > 200.0 + ELSEWHERE
    assert spacing.take("idle", 200.0, 0.15) == 200.0


def test_time_that_passed_is_waited_for_by_nobody() -> None:
    spacing = Spacing()
    assert [spacing.take("vip", 100.0, 0.15), spacing.take("vip", 101.0, 0.15)] == [100.0, 101.0]


def test_what_left_the_configuration_holds_up_nobody() -> None:
    spacing = Spacing()
    for _ in range(40):
        spacing.take("vip", 100.0, 0.15)
    spacing.only(lambda host: host != "vip")
    assert spacing.take("vip", 100.0, 0.15) == 100.0
