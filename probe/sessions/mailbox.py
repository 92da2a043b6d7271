r"""The probe's own mailbox over IMAP: find our message, read its header, delete it, and sweep what earlier runs left.

    C: SELECT INBOX
    C: UID SEARCH HEADER X-Mailprobe-Token TOKEN     until it is there, with a NOOP between
    C: UID FETCH 7 (BODY.PEEK[HEADER.FIELDS (…)])    is it really ours?
    C: UID FETCH 7 (BODY.PEEK[HEADER])
    C: UID STORE 7 +FLAGS.SILENT (\Deleted)
    C: UID EXPUNGE 7

Rule 1: nothing is deleted that is not surely ours: the token header and a Message-ID made of the same token. A server's
        search proves nothing: one that does not know the header, or is lenient, names anybody's messages.
Rule 2: what another session may still look for stays: leftovers are older than LEFTOVER by the time in them.
Rule 3: where the server cannot expunge by UID (RFC 4315), nothing is expunged as long as somebody else's message is
        marked as deleted: it is ours to delete, theirs to keep.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Any
from zlib import crc32

from probe.model import Clock
from probe.sessions.deliver import SENT_HEADER, TOKEN_HEADER, message_id
from probe.sessions.faults import rejection
from probe.sessions.imap import Conversation, ImapWire

LEFTOVER = 3600.0
"""Seconds after which no session looks for its message any more."""

MOST_LOOKED_AT = 50
"""Messages of one search whose headers are asked for at once, and leftovers deleted in one run."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two looks; each pause is half as long again as the one before."""

_UIDS = re.compile(rb"[\d ]*")
_BEFORE = re.compile(rb"\d+ FETCH \((?:.*?\bUID (\d+))?")
_AFTER = re.compile(rb"(?:.*?\bUID (\d+))?.*\)\s*", re.DOTALL)
_OWN_FIELDS = f"(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID {TOKEN_HEADER} {SENT_HEADER} TO)])"


@dataclass(kw_only=True)
class Errand:
    """What one visit to the mailbox is for, and what came of it.

    `unshown` counts messages that the server's search named and whose header it did not show.
    """

    token: str
    recipient: str
    until: float
    clock: Clock
    header: str = ""
    found: float | None = None
    unshown: int = 0
    swept: int = 0

    async def run(self, talk: Conversation) -> None:
        """Wait for the message until it is time to go; delete it, and sweep."""
        inbox = Inbox(talk.wire)
        await inbox.open()
        mine = await self._wait_for(inbox)
        if mine:
            found = self.clock()
            self.header = (await inbox.headers(mine[-1:], "(BODY.PEEK[HEADER])")).get(mine[-1], "")
            self.found, self.unshown = (found, 0) if self.header else (None, 1)
        leftovers = await inbox.leftovers(self.token, self.clock())
        self.swept = len(leftovers)
        read = mine if self.header else []
        await inbox.delete([*read, *(uid for uid in leftovers if uid not in read)])

    async def _wait_for(self, inbox: Inbox) -> list[str]:
        """The messages that are surely ours among those that the server finds."""
        pause, foreign = FIRST_PAUSE, set[str]()
        while True:
            uids = [uid for uid in await inbox.search(f'HEADER {TOKEN_HEADER} "{self.token}"') if uid not in foreign]
            looked_at = await inbox.headers(uids[-MOST_LOOKED_AT:], _OWN_FIELDS)
            self.unshown = len(uids[-MOST_LOOKED_AT:]) - len(looked_at)
            mine = [uid for uid in uids if is_ours(looked_at.get(uid, ""), self.token, self.recipient)]
            left = self.until - self.clock()
            if mine or left <= 0:
                return mine
            foreign.update(looked_at)
            await asyncio.sleep(min(pause, left))
            pause = min(LONGEST_PAUSE, 1.5 * pause)
            await inbox.ask(inbox.wire.simple_command("NOOP"))


class Inbox:
    """INBOX, selected."""

    def __init__(self, wire: ImapWire) -> None:
        self.wire = wire

    async def open(self) -> None:
        """SELECT; it is left as it is, so that nothing is expunged in passing."""
        await self.ask(self.wire.select("INBOX"))

    async def ask(self, question: Coroutine[Any, Any, Any]) -> list[bytes]:
        """The lines of an answer; Refusal for any but OK."""
        answer = await self.wire.asked(question)
        if answer.result != "OK":
            raise rejection(f"{answer.result} " + b" ".join(map(bytes, answer.lines)).decode("utf-8", "replace"))
        return list(answer.lines)

    async def search(self, criterion: str) -> list[str]:
        """UIDs in ascending order."""
        *lines, _ = await self.ask(self.wire.search(criterion, charset=None, by_uid=True))
        return [uid.decode() for line in lines if _UIDS.fullmatch(line) for uid in line.split()]

    async def headers(self, uids: list[str], parts: str) -> dict[str, str]:
        """The headers of these messages by UID; a server may say the UID before a header or after it."""
        found: dict[str, str] = {}
        lines = await self.ask(self.wire.fetch(",".join(uids), parts, by_uid=True)) if uids else []
        for before, literal, after in zip(lines, lines[1:], lines[2:], strict=False):
            if not isinstance(literal, bytearray) or not literal:
                continue
            begin, end = _BEFORE.match(before), _AFTER.fullmatch(after)
            if begin and end and (uid := begin[1] or end[1]):
                found[uid.decode()] = literal.decode("utf-8", "replace")
        return found

    async def leftovers(self, token: str, now: float) -> list[str]:
        """Messages of earlier runs. Of too many candidates a token, which is random, chooses those to look at."""
        uids = await self.search(f'HEADER {TOKEN_HEADER} ""')
        if len(uids) > MOST_LOOKED_AT:
            begin = crc32(token.encode()) % len(uids)
            uids = [*uids[begin:], *uids[:begin]][:MOST_LOOKED_AT]
        found = await self.headers(uids, _OWN_FIELDS)
        return [uid for uid in uids if is_leftover(found.get(uid, ""), now)]

    async def delete(self, uids: list[str]) -> None:
        """Mark and expunge these, and no other."""
        if not uids:
            return
        numbers = ",".join(uids)
        await self.ask(self.wire.store(numbers, "+FLAGS.SILENT", r"(\Deleted)", by_uid=True))
        if "UIDPLUS" in {capability.strip("[]").upper() for capability in self.wire.capabilities}:
            await self.ask(self.wire.expunge(numbers, by_uid=True))
        elif set(await self.search("DELETED")) <= set(uids):
            await self.ask(self.wire.expunge())


def is_ours(header: str, token: str, recipient: str) -> bool:
    """True for the message with this token to this mailbox, and surely no other."""
    fields = HeaderParser().parsestr(header)
    expected = token, message_id(token, recipient)
    return bool(token) and (fields.get(TOKEN_HEADER, "").strip(), fields.get("Message-ID", "").strip()) == expected


def is_leftover(header: str, now: float) -> bool:
    """True for a message that is surely ours, and so old that nobody looks for it any more."""
    fields = HeaderParser().parsestr(header)
    token, recipient = fields.get(TOKEN_HEADER, "").strip(), fields.get("To", "").strip(" <>")
    sent = fields.get(SENT_HEADER, "").strip()
    is_old = sent.isascii() and sent.isdigit() and float(sent[:16]) < now - LEFTOVER
    return is_old and is_ours(header, token, recipient)
