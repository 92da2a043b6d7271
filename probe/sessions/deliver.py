"""Hand over the message of a `deliver` imprint: one message, to the probe's own mailbox, with a token of its own.

    C: MAIL FROM:<probe+TOKEN@example.org> SIZE=…
    C: RCPT TO:<probe@example.org>            put off (450, greylisting): again after each of PAUSES, in this session
    C: DATA, the message                      the reply names the queue id: `250 2.0.0 Ok: queued as 4A5E6184096`

Rule 1: at most one message in a session: what is repeated is RCPT, never the content.
Rule 2: no loops: the message says that a machine has sent it (RFC 3834), so nobody answers it.
Rule 3: the Message-ID and a header carry the token; a mailbox is swept by these (mailbox.py).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from email.utils import formatdate

from aiosmtplib import SMTPResponse

from probe.model import Failure, Mailbox
from probe.sessions.faults import Refusal, refusal
from probe.sessions.smtp import GO_ON, Conversation

PUT_OFF = {450, 451}
PAUSES = (2.0, 5.0)
"""Seconds before RCPT is tried again; a greylist that lets nobody in for minutes gets no more rejects for its log."""

TOKEN_HEADER = "X-Mailprobe-Token"  # noqa: S105 - its name, no secret
SENT_HEADER = "X-Mailprobe-Sent"

_QUEUED = re.compile(r"\bqueued as ([0-9A-Za-z]{1,40})\s*$", re.I | re.M)

WHY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.I), why)
    for pattern, why in (
        (r"^4.*gr[ea]y.?list", "the server greylists the message{tries}"),
        (r"\b[45]\.2\.2\b|quota|mailbox (?:is )?full", "the probe's own mailbox {recipient} is full"),
        (r"\b[45]\.1\.[78]\b|sender address|\bSPF\b", "the server does not take {sender} as sender"),
        (r"\b[45]\.1\.[0-6]\b|unknown user|user unknown|relay", "the server does not take mail for {recipient}"),
        (r"^4", "the server puts the message off (greylisting?){tries}"),
        (r"", "the server refuses the message"),
    )
)
"""What a refusal most likely means, the first row that fits its first line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """The message before it is written."""

    token: str
    sender: str
    recipient: str
    sent: float

    @classmethod
    def to(cls, mailbox: Mailbox, token: str, sent: float) -> Letter:
        """The message of one session to this mailbox."""
        sender = mailbox.sender.replace("{token}", token)
        return cls(token=token, sender=sender, recipient=mailbox.recipient, sent=sent)

    @property
    def text(self) -> bytes:
        """The message as DATA wants it, with its end; no line begins with a dot."""
        lines = (
            f"Date: {formatdate(self.sent)}",
            f"Message-ID: {message_id(self.token, self.recipient)}",
            f"From: mailprobe <{self.sender or self.recipient}>",
            f"To: <{self.recipient}>",
            f"Subject: mailprobe {self.token}",
            f"{TOKEN_HEADER}: {self.token}",
            f"{SENT_HEADER}: {self.sent:.0f}",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=us-ascii",
            "",
            "mailprobe sent this message to see from which address the mail server received it.",
            "It is read back over IMAP and deleted; what is left behind is deleted by a later run.",
            ".",
            "",
        )
        return "\r\n".join(lines).encode("ascii")


def message_id(token: str, recipient: str) -> str:
    """The Message-ID of the message with this token.

    >>> message_id("4f0c", "probe@example.org")
    '<4f0c.mailprobe@example.org>'
    """
    return f"<{token}.mailprobe@{recipient.rpartition('@')[2]}>"


async def offer(talk: Conversation, letter: Letter, patience: float) -> None:
    """MAIL, RCPT and DATA up to the 354; a server that puts us off is asked again for `patience` seconds at most."""
    clock = talk.wire.journal.clock
    begun = clock()
    size = f" SIZE={len(letter.text)}" if talk.supports_extension("size") else ""
    _due(await talk.say("mail", f"FROM:<{letter.sender}>{size}"), letter)
    tries = 0
    for pause in (*PAUSES, float("inf")):
        tries += 1
        response = await talk.say("rcpt", f"TO:<{letter.recipient}>")
        if response.code not in PUT_OFF or clock() - begun + pause > patience:
            break
        await asyncio.sleep(pause)
    _due(response, letter, tries=f", and still does after {tries} tries in {clock() - begun:.0f} s")
    response = await talk.say("data")
    if response.code != GO_ON:
        raise _refused(response, letter, "")


async def hand_over(talk: Conversation, letter: Letter) -> str | None:
    """The content; the queue id if the server tells it."""
    response = await talk.wire.hand_over(letter.text)
    _due(response, letter)
    queued = _QUEUED.search(response.message)
    return queued[1] if queued else None


def _due(response: SMTPResponse, letter: Letter, *, tries: str = "") -> None:
    if not 200 <= response.code < 300:
        raise _refused(response, letter, tries)


def _refused(response: SMTPResponse, letter: Letter, tries: str) -> Refusal:
    plain = refusal(response.code, response.message)
    if plain.failure is not Failure.REJECTED:
        return plain
    reply = f"{response.code} {response.message}"
    why = next(why for pattern, why in WHY if pattern.search(reply))
    told = why.format(tries=tries, recipient=letter.recipient, sender=f"<{letter.sender}>")
    return Refusal(Failure.REJECTED, f"{told}: {reply}", reply)
