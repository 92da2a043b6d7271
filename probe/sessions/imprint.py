"""Command-count fingerprints: which harmless commands a session sends so that its `disconnect` line is its own.

Postfix counts every command of a client in the `disconnect` line, refused ones too. A fingerprint is how often
each of four harmless verbs is sent; the order does not matter and is not logged.

Rule 1: no verb here can deliver, log a reject or cost a login; all are accepted after STARTTLS by every Postfix
        (before it, 587 refuses RSET; HELP is an error before Postfix 3.10).
Rule 2: NOOP and RSET are junk commands (smtpd_junk_command_limit, 100): their sum stays far below.
Rule 3: a fingerprint no ordinary client leaves: at least MIN_KINDS verbs, MIN_COMMANDS commands.
Rule 4: two sessions in flight never share one, nor does the next one take what was just given back: late lines.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from random import Random

MOST = {"noop": 9, "rset": 9, "ehlo": 7, "helo": 7}
MIN_KINDS = 3
MIN_COMMANDS = 4
NUMBERS = prod(most + 1 for most in MOST.values())

RESTING = 256
"""How many fingerprints that were given back are kept from being drawn again."""

Fingerprint = Counter[str]


def fingerprint(number: int) -> Fingerprint:
    """The fingerprint of a number in [0, NUMBERS): its digits, one verb each.

    >>> fingerprint(0).total()
    0
    """
    counts: Fingerprint = Counter()
    for verb, most in MOST.items():
        number, counts[verb] = divmod(number, most + 1)
    return +counts


def is_distinct(counts: Fingerprint) -> bool:
    """True if no ordinary client would leave this (rule 3)."""
    return len(counts) >= MIN_KINDS and counts.total() >= MIN_COMMANDS


DISTINCT = 5_981
"""How many fingerprints are distinct (counting them anew costs more than a session; a test does)."""
AT_ONCE = DISTINCT // 2
"""Fingerprints in flight: of those that are left one is soon drawn."""
ODDS = 1 / DISTINCT
"""Probability that one look-alike session, which draws as we do, leaves a given fingerprint."""


class Fingerprints:
    """Hands out fingerprints at random, never one that is still in flight."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._in_flight: set[int] = set()
        self._resting: deque[int] = deque(maxlen=RESTING)

    @contextmanager
    def draw(self) -> Iterator[list[str]]:
        """Verbs of one fingerprint in a random order; it is taken until the caller is through with its evidence.

        RuntimeError when AT_ONCE are in flight.
        """
        if len(self._in_flight) >= AT_ONCE:
            raise RuntimeError(f"{len(self._in_flight)} sessions in flight: too few fingerprints are left")
        number = self._draw_number()
        self._in_flight.add(number)
        verbs = list(fingerprint(number).elements())
        self._random.shuffle(verbs)
        try:
            yield verbs
        finally:
            self._in_flight.discard(number)
            self._resting.append(number)

    def _draw_number(self) -> int:
        while True:
            number = self._random.randrange(NUMBERS)
            taken = number in self._in_flight or number in self._resting
            if not taken and is_distinct(fingerprint(number)):
                return number
