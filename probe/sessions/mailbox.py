r"""The probe's own mailbox over IMAP: find our message, read its header, delete it, and sweep what earlier runs left.

    C: SELECT INBOX
    C: UID SEARCH HEADER X-Mailprobe-Token TOKEN     until it is there, with a NOOP between
    C: UID FETCH 7 (BODY.PEEK[HEADER])
    C: UID STORE 7 +FLAGS.SILENT (\Deleted)
    C: UID EXPUNGE 7

Rule 1: nothing is deleted that is not surely ours: the token header and a Message-ID made of the same token.
Rule 2: what another session may still look for stays: leftovers are older than LEFTOVER by the time in them.
Rule 3: where the server cannot expunge by UID (RFC 4315), nothing is expunged as long as somebody else's message is
        marked as deleted: it is ours to delete, theirs to keep.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from email.parser import HeaderParser
from itertools import pairwise
from typing import Any

from probe.model import Clock
from probe.sessions.deliver import SENT_HEADER, TOKEN_HEADER, message_id
from probe.sessions.faults import rejection
from probe.sessions.imap import Conversation, ImapWire

LEFTOVER = 3600.0
"""Seconds after which no session looks for its message any more."""

MOST_SWEPT = 50
"""Leftovers deleted in one run."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two looks; each pause is half as long again as the one before."""

_UIDS = re.compile(rb"[\d ]*")
_UID = re.compile(rb"\d+ FETCH \(.*?\bUID (\d+)")
_OWN_FIELDS = f"(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID {TOKEN_HEADER} {SENT_HEADER} TO)])"


@dataclass(kw_only=True)
class Errand:
    """What one visit to the mailbox is for, and what came of it."""

    token: str
    until: float
    clock: Clock
    header: str = ""
    found: float | None = None
    swept: int = field(default=0)

    async def run(self, talk: Conversation) -> None:
        """Wait for the message until it is time to go; delete it, and sweep."""
        inbox = Inbox(talk.wire)
        await inbox.open()
        uids = await self._wait_for(inbox)
        if uids:
            self.found = self.clock()
            headers = await inbox.headers(uids[-1:], "(BODY.PEEK[HEADER])")
            self.header = headers.get(uids[-1], "")
        leftovers = await inbox.leftovers(self.clock())
        self.swept = len(leftovers)
        await inbox.delete([*uids, *(uid for uid in leftovers if uid not in uids)])

    async def _wait_for(self, inbox: Inbox) -> list[str]:
        pause = FIRST_PAUSE
        while True:
            uids = await inbox.search(f'HEADER {TOKEN_HEADER} "{self.token}"')
            left = self.until - self.clock()
            if uids or left <= 0:
                return uids
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
        """The headers of these messages by UID."""
        lines = await self.ask(self.wire.fetch(",".join(uids), parts, by_uid=True))
        found: dict[str, str] = {}
        for line, literal in pairwise(lines):
            match = _UID.match(line) if isinstance(literal, bytearray) else None
            if match:
                found[match[1].decode()] = literal.decode("utf-8", "replace")
        return found

    async def leftovers(self, now: float) -> list[str]:
        """Messages of earlier runs, the oldest first."""
        uids = (await self.search(f'HEADER {TOKEN_HEADER} ""'))[:MOST_SWEPT]
        found = await self.headers(uids, _OWN_FIELDS) if uids else {}
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


def is_leftover(header: str, now: float) -> bool:
    """True for a message that is surely ours, and so old that nobody looks for it any more."""
    fields = HeaderParser().parsestr(header)
    token, recipient = fields.get(TOKEN_HEADER, "").strip(), fields.get("To", "").strip(" <>")
    sent = fields.get(SENT_HEADER, "").strip()
    ours = bool(token) and fields.get("Message-ID", "").strip() == message_id(token, recipient)
    return ours and sent.isascii() and sent.isdigit() and float(sent[:16]) < now - LEFTOVER
