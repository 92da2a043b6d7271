r"""The client's own address in the `Received` header that the server wrote when it took our message.

    Received: from lan-probe.example.org (unknown [192.168.1.10])
            (using TLSv1.3 with cipher …) (Authenticated sender: probe@example.org)
            by mail.example.org (Postfix) with ESMTPSA id 4A5E6184096
            for <probe@example.org>; Mon, 23 Nov 2026 20:01:03 +0000 (UTC)

Rules of this file:
- A header counts only in Postfix's own form, with the name that we said in HELO at its start. People who hide their
  users' addresses replace just these two (`from [127.0.0.1] (localhost [127.0.0.1])`) and leave the rest as it was.
- It must carry the queue id that the server told us. Nobody knew it before, so no header that was written earlier
  carries it, be it ever so like ours; one that was written later (by a filter, another host) carries another.
- Postfix before a filter of the smtpd_proxy_filter kind writes no id, and tells us the filter's. A header without an id
  counts if no other header has our HELO name. The same goes for a server that does not tell the queue id.
- Two headers that fit with different addresses prove nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from probe.evidence.peer import ADDRESS, peer_at
from probe.model import Peer

MOST_HEADERS = 100
LONGEST = 4096
"""Octets of one header, unfolded; Postfix's own stays below 1000."""

_WRITTEN = re.compile(
    rf"from (\S{{1,255}}) \((\S{{1,255}}) \[({ADDRESS}|unknown)\]\)"
    r"(?: \([ -~]*\))? by (\S{1,255}) \([^()]{1,128}\) with ([A-Z0-9]{4,16})(?: id (\w{1,40}))?"
    r"(?: for <[ -~]{1,320}>)?; [\w ,:+-]{10,64}(?: \([\w +-]{1,16}\))?",
    re.ASCII,
)
_FIELD = re.compile(r"received:", re.I)


@dataclass(frozen=True, slots=True)
class Hop:
    """One `Received` header of Postfix: who came, under which name, and what the message was called here."""

    helo: str
    client: Peer
    by: str
    queue_id: str | None
    text: str


def hop_of(text: str) -> Hop | None:
    """One `Received` header, unfolded and without its name; None for any other form and for a client that was gone."""
    match = _WRITTEN.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        return None
    helo, _, address, by, _, queue_id = match.groups()
    try:
        client = peer_at(address)
    except ValueError:
        return None
    return Hop(helo, client, by, queue_id, text) if client else None


def received_in(header: str) -> list[str]:
    """Every `Received` header of a message, unfolded, the last written first; lines after the header do not count."""
    found: list[str] = []
    inside = False
    for line in (line.rstrip("\r") for line in header.split("\n")):
        if not line:
            break
        if line[0] in " \t":
            if inside and len(found[-1]) <= LONGEST:
                found[-1] += " " + line.strip()
            continue
        match = _FIELD.match(line)
        inside = match is not None and len(found) < MOST_HEADERS
        if match and inside:
            found.append(line[match.end() :].strip())
    return found


def our_hop(header: str, *, helo: str, queue_id: str | None) -> Hop | str:
    """The header that was written for our connection, or why there is none."""
    texts = received_in(header)
    if not texts:
        return "the message came without any Received header: the server strips them"
    hops = [hop for text in texts if (hop := hop_of(text)) and hop.helo.casefold() == helo.casefold()]
    if not hops:
        return f"none of {len(texts)} Received headers names our HELO: the server hides where a message came from"
    tied = [hop for hop in hops if hop.queue_id == queue_id] if queue_id else []
    if not tied and len(hops) == 1 and (queue_id is None or hops[0].queue_id is None):
        tied = hops
    if not tied:
        return f"none of {len(hops)} Received headers with our HELO carries the queue id {queue_id}"
    if len({hop.client.address for hop in tied}) > 1:
        return f"{len(tied)} Received headers fit our connection, with different addresses"
    return tied[0]
