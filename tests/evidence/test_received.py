"""The `Received` header of our host: real messages of both generations, forged ones, and anything at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.correlate import search
from probe.evidence.received import LONGEST, MOST_HEADERS, Hop, hop_of, our_hop, received_in
from probe.evidence.scene import Scene
from probe.model import Delivery, Link
from tests.builders import smtp_session

MESSAGES = Path(__file__).parents[1] / "messages"
HELO = "lan-probe.mailprobe.invalid"
QUEUE_ID = "4A5E6184096"
OURS = (
    f"Received: from {HELO} (unknown [192.168.1.10])\n\tby mail.lab.test (Postfix) with ESMTPSA id {QUEUE_ID}\n"
    "\tfor <probe@lab.test>; Mon, 23 Nov 2026 20:01:03 +0000 (UTC)\n"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The header of a message, and what it must give."""

    name: str
    header: str
    queue_id: str | None
    client: str | None
    why: str


def samples() -> Iterator[Sample]:
    for path in sorted(MESSAGES.glob("*.txt")):
        for number, block in enumerate(path.read_text().split("\n#: ")[1:], start=1):
            expected, _, header = block.partition("\n")
            due = json.loads(expected)
            yield Sample(f"{path.stem}-{number}", header, due["queue_id"], due["client"], due.get("why", ""))


SAMPLES = list(samples())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_message_gives_what_is_expected_of_it(sample: Sample, end: str) -> None:
    hop = our_hop(sample.header.replace("\n", end), helo=HELO, queue_id=sample.queue_id)
    if isinstance(hop, Hop):
        assert str(hop.client.address) == sample.client
    else:
        assert sample.client is None
        assert hop.startswith(sample.why)


def test_there_are_samples_of_both_generations() -> None:
    assert {sample.name.rpartition("-")[0] for sample in SAMPLES} == {"postfix-3.7", "postfix-3.10", "hostile"}


def test_a_header_without_an_id_counts_alone() -> None:
    without_id = OURS.replace(f" id {QUEUE_ID}", "")
    hop = our_hop(without_id, helo=HELO, queue_id="548C8196089")
    assert isinstance(hop, Hop)
    assert (str(hop.client), hop.queue_id, hop.by) == ("192.168.1.10", None, "mail.lab.test")
    assert our_hop(without_id + without_id, helo=HELO, queue_id="548C8196089") == (
        "none of 2 Received headers with our HELO carries the queue id 548C8196089"
    )


def test_bounds() -> None:
    assert len(received_in(OURS * (2 * MOST_HEADERS))) == MOST_HEADERS
    assert hop_of("from x " + "(" * LONGEST) is None
    assert max(map(len, received_in("Received: x\n" + " y" * LONGEST + "\n z" * LONGEST))) < 4 * LONGEST
    assert received_in("\nReceived: in the body\n") == []


@given(st.text(), st.text())
def test_any_header_gives_an_answer_and_never_hides_ours(before: str, after: str) -> None:
    for text in (before, OURS + after):
        our_hop(text, helo=HELO, queue_id=QUEUE_ID)
    # Other headers are headers: lines that do not begin with white space, and no empty line.
    others = "".join(f"X: {line}\n" for line in before.split("\n") if line.strip())
    hop = our_hop(others + OURS + after.lstrip(" \t"), helo=HELO, queue_id=QUEUE_ID)
    assert isinstance(hop, Hop)
    assert str(hop.client) == "192.168.1.10"


FORGED = st.builds(
    "from {} ({} [192.0.2.{}]) by {} (Postfix) with ESMTPSA id {} for <{}>; Mon, 23 Nov 2026 20:01:03 +0000".format,
    st.sampled_from([HELO, "x", "[192.0.2.1]"]),
    st.sampled_from(["unknown", HELO, "192.168.1.10"]),
    st.integers(0, 255),
    st.sampled_from(["mail.lab.test", "x"]),
    st.text("0123456789ABCDEF", min_size=1, max_size=11).filter(lambda text: text != QUEUE_ID),
    st.text("abc@.>< ()[];", max_size=20),
)


@given(st.lists(FORGED, max_size=4), st.lists(FORGED, max_size=4))
def test_no_forged_header_is_believed(above: list[str], below: list[str]) -> None:
    text = "".join(f"Received: {one}\n" for one in above) + OURS + "".join(f"Received: {one}\n" for one in below)
    hop = our_hop(text, helo=HELO, queue_id=QUEUE_ID)
    assert isinstance(hop, Hop)
    assert str(hop.client) == "192.168.1.10"


@given(st.ip_addresses())
def test_every_address_is_read_as_it_was_written(address: object) -> None:
    text = str(address)
    written = f"IPv6:{text}" if ":" in text else text
    hop = hop_of(f"from {HELO} (unknown [{written}]) by m (Postfix) with ESMTP id A; Mon, 23 Nov 2026 20:01:03 +0000")
    assert hop is not None
    assert hop.client.port is None
    mapped = getattr(address, "ipv4_mapped", None)
    assert hop.client.address == (mapped or address)


def delivery(**changes: object) -> Delivery:
    values = {"begun": 100.5, "helo": HELO, "accepted": True, "queue_id": QUEUE_ID, "found": 101.4, "header": OURS}
    return Delivery(**(values | changes))  # type: ignore[arg-type]


def test_a_message_that_was_read_back_is_a_certain_sighting() -> None:
    found = search(smtp_session(delivery=delivery()), Scene(observed=(), now=101.5))
    (sighting,) = found.evidence.sightings
    assert (str(sighting.address), sighting.link, sighting.source, sighting.at) == (
        "192.168.1.10",
        Link.MESSAGE,
        "message",
        101.4,
    )
    assert sighting.line.startswith(f"Received: from {HELO} (unknown [192.168.1.10]) by ")
    assert found.settled


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"header": "Subject: x\n"}, "the message came without any Received header: the server strips them"),
        ({"found": None, "header": "", "trouble": "it did not arrive"}, "it did not arrive"),
    ],
)
def test_what_was_not_read_back_is_told(changes: dict[str, object], reason: str) -> None:
    found = search(smtp_session(delivery=delivery(**changes)), Scene(observed=(), now=200.0))
    assert found.evidence.sightings == ()
    assert found.evidence.reasons[0] == reason
    assert not found.settled
