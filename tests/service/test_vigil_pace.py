"""What the pace of sessions and knocks means for what is asked of a watch."""

from __future__ import annotations

import pytest

from probe.model import Endpoint, Mailbox, Service, Wanted
from probe.service.vigil.pace import busiest, loads, remarks
from probe.service.vigil.post import Post

IMAPS = Endpoint(path="vip", service=Service.IMAPS, host="10.0.20.202", port=993)
LETTER = Mailbox(reader=IMAPS, recipient="probe@example.org", sender="")
DELIVERING = [
    Endpoint(path="vip", service=service, host="10.0.20.202", port=port, mailbox=LETTER)
    for service, port in ((Service.SUBMISSION, 587), (Service.SUBMISSIONS, 465))
]


@pytest.mark.parametrize(
    ("wanted", "most", "said"),
    [
        (Wanted(until_stable=60.0, max_outage=60.0), 3, []),
        (Wanted(until_stable=30.0), 3, ["a session comes each 60 s", "--until-stable 30 "]),
        (Wanted(max_outage=10.0), 6, ["a session comes each 15 s", "--max-outage 10 "]),
        (Wanted(max_outage=100.0), 1, ["a session comes each 180 s", "--max-outage 100 "]),
        (Wanted(max_outage=100.0), 2, []),
        (Wanted(max_outage=10.0, no_limit=True), 6, []),
        (Wanted(max_outage=30.0, interval=60.0), 6, ["a knock comes each 60 s", "--max-outage 30 "]),
    ],
)
def test_what_would_surprise_is_said(wanted: Wanted, most: int, said: list[str]) -> None:
    told = remarks(wanted, most)
    assert len(told) == min(len(said), 1)
    assert all(part in told[0] for part in said)


def test_who_reads_a_mailbox_back_spends_at_the_mailbox() -> None:
    """Two that deliver, and the mailbox's own session: three connections there for one of each."""
    posts = [Post(one) for one in (*DELIVERING, IMAPS)]
    assert posts[0].needs == {DELIVERING[0].name: 1, IMAPS.name: 1}
    assert posts[2].needs == {IMAPS.name: 1}
    assert loads(post.needs for post in posts) == {DELIVERING[0].name: 1, DELIVERING[1].name: 1, IMAPS.name: 3}
    assert (busiest([*DELIVERING, IMAPS]), busiest([IMAPS]), busiest([])) == (3, 1, 1)
    (told,) = remarks(Wanted(until_stable=30.0), 6, busiest([*DELIVERING, IMAPS]))
    assert "a session comes each 45 s" in told
