"""Counting a client's commands as Postfix's smtpd does for its `disconnect` line (pure).

    ehlo=2 starttls=1 rset=0/1 noop=3 quit=1 commands=7/8

Refused commands count too: `rset=0/1` is one, not accepted. What is no command at all counts as `unknown`. The order is
that of smtpd's command table, not that in which the client spoke.
"""

from __future__ import annotations

from collections import Counter

ORDER = (
    "helo", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "rset", "noop", "vrfy", "help", "quit", "unknown",
)  # fmt: skip


class CommandCount:
    """The commands of one session so far."""

    def __init__(self) -> None:
        self._accepted: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self.last = "CONNECT"

    def count(self, verb: str, *, accepted: bool) -> None:
        """Note one command, whatever became of it."""
        self.last = verb.upper()
        counted = verb.lower() if verb.lower() in ORDER else "unknown"
        self._total[counted] += 1
        self._accepted[counted] += accepted

    def __str__(self) -> str:
        verbs = [_pair(verb, self._accepted[verb], self._total[verb]) for verb in ORDER if self._total[verb]]
        return " ".join([*verbs, _pair("commands", self._accepted.total(), self._total.total())])


def _pair(name: str, accepted: int, total: int) -> str:
    return f"{name}={accepted}" if accepted == total and total else f"{name}={accepted}/{total}"
