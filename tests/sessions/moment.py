"""When a scripted peer may misbehave."""

from __future__ import annotations

from enum import StrEnum


class Moment(StrEnum):
    """When a peer may misbehave; HELLO is EHLO or CAPABILITY, HELLO_AGAIN the EHLO after STARTTLS."""

    ACCEPT = "accept"
    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    HELLO_AGAIN = "hello_again"
    LOGIN = "login"
    IMPRINT = "imprint"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    SELECT = "select"
    SEARCH = "search"
    FETCH = "fetch"
    QUIT = "quit"
