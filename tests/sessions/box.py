"""A mailbox that a scripted SMTP peer delivers to and a scripted IMAP peer shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sessions.moment import Moment

if TYPE_CHECKING:
    from tests.sessions.peers import Visit


@dataclass(kw_only=True)
class Box:
    """A mailbox: messages by UID, what is marked as deleted, and everything that ever came.

    `lenient`: its search finds every message. `uid_last`: its answers name the UID after the header.
    """

    kept: dict[int, bytes] = field(default_factory=dict)
    flagged: set[int] = field(default_factory=set)
    taken: list[bytes] = field(default_factory=list)
    loses: bool = False
    lenient: bool = False
    uid_last: bool = False

    def put(self, message: bytes) -> int:
        uid = 1 + max(self.kept, default=6)
        self.kept[uid] = message
        return uid

    def header(self, uid: int) -> bytes:
        return self.kept[uid].partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if uid in self.kept else b""

    def search(self, said: bytes) -> list[int]:
        if said.endswith(b"DELETED"):
            return sorted(self.flagged)
        if self.lenient:
            return sorted(self.kept)
        name, _, value = said.partition(b"HEADER ")[2].partition(b" ")
        wanted = b"%s: %s" % (name, value.strip(b'"'))
        return [uid for uid in sorted(self.kept) if wanted in self.header(uid)]

    def shown(self, uid: int) -> bytes:
        """Both forms are RFC 3501's: the items of an answer have no order."""
        literal = b"BODY[HEADER] {%d}\r\n%s" % (len(self.header(uid)), self.header(uid))
        items = (literal, b"UID %d" % uid) if self.uid_last else (b"UID %d" % uid, literal)
        return b"* %d FETCH (%s)\r\n" % (uid, b" ".join(items))

    def expunge(self, uids: set[int] | None) -> None:
        for uid in self.flagged & (self.flagged if uids is None else uids):
            self.kept.pop(uid, None)
            self.flagged.discard(uid)


async def take(visit: Visit, box: Box | None, verb: bytes) -> None:
    """MAIL, RCPT and DATA; without a box nobody is a recipient."""
    match verb:
        case b"MAIL":
            await visit.at(Moment.IMPRINT, b"250 2.1.0 Ok\r\n")
        case b"RCPT":
            await visit.at(Moment.RCPT, b"250 2.1.5 Ok\r\n" if box else b"554 5.7.1 Relay access denied\r\n")
        case _ if box is None:
            await visit.at(Moment.DATA, b"503 5.5.1 Error: need RCPT command\r\n")
        case _:
            before = len(visit.lines)
            await visit.at(Moment.DATA, b"354 End data with <CR><LF>.<CR><LF>\r\n")
            if Moment.DATA not in visit.peer.acts and len(visit.lines) == before:
                await _content(visit, box)


async def _content(visit: Visit, box: Box) -> None:
    """A message up to its dot, into the box with the Received header that Postfix writes."""
    lines: list[bytes] = []
    while (line := await visit.hear()) != b".":
        lines.append(line)
    queue_id = b"%011X" % (0x4A5E6184096 + len(box.taken))
    helo = [line.split()[1] for line in visit.lines if line.upper().startswith((b"EHLO", b"HELO"))][-1]
    address = visit.client[0].encode()
    received = b"Received: from %s (localhost [%s])\r\n\tby mail.lab.test (Postfix) with ESMTPS id %s\r\n"
    received += b"\tfor <probe@lab.test>; Mon, 23 Nov 2026 20:01:03 +0000 (UTC)\r\n"
    message = received % (helo, address, queue_id) + b"\r\n".join(lines) + b"\r\n"
    box.taken.append(message)
    if not box.loses:
        box.put(message)
    await visit.at(Moment.CONTENT, b"250 2.0.0 Ok: queued as %s\r\n" % queue_id)


async def show(visit: Visit, box: Box, tag: bytes, verb: bytes) -> None:
    """The few commands that a mailbox is read with."""
    said = visit.lines[-1].partition(b" ")[2]
    match verb:
        case b"SELECT":
            await visit.at(
                Moment.SELECT, b"* %d EXISTS\r\n%s OK [READ-WRITE] Select completed.\r\n" % (len(box.kept), tag)
            )
        case b"NOOP":
            await visit.say(b"* %d EXISTS\r\n%s OK NOOP completed.\r\n" % (len(box.kept), tag))
        case b"UID" if b" SEARCH " in said:
            found = b"".join(b" %d" % uid for uid in box.search(said))
            await visit.at(Moment.SEARCH, b"* SEARCH%s\r\n%s OK Search completed.\r\n" % (found, tag))
        case b"UID" if b" FETCH " in said:
            uids = [int(uid) for uid in said.split(b" ")[2].split(b",")]
            parts = (box.shown(uid) for uid in uids if uid in box.kept)
            await visit.at(Moment.FETCH, b"".join(parts) + tag + b" OK Fetch completed.\r\n")
        case b"UID" if b" STORE " in said:
            box.flagged |= {int(uid) for uid in said.split(b" ")[2].split(b",")}
            await visit.say(tag + b" OK Store completed.\r\n")
        case b"UID" | b"EXPUNGE":
            box.expunge({int(uid) for uid in said.split(b" ")[2].split(b",")} if verb == b"UID" else None)
            await visit.say(tag + b" OK Expunge completed.\r\n")
        case _:
            await visit.say(tag + b" BAD Unknown command.\r\n")
