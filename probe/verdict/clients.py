"""What a saved log shows of its clients. Pure: counts in, conclusions out, the worst first.

Rule 1: of each door the first row of DOOR_RULES that holds tells; rows go from "named and beyond chance" to "no sign".
        Of each kind of trouble, and of the reading as a whole, every row that holds tells.
Rule 2: a log names addresses and nothing more. Only the configuration makes a node of one, and only many clients that
        did something make a mask of a node: health checks come from nodes too, and so does mail that pods send.
Rule 3: without the configuration the strongest word is "likely", with what makes it so.
Rule 4: no sign of a fault is no proof of health. The verdict `preserved` is for sessions of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from probe.model import Address, Clients, Explained, Finding, Reading, Severity, worst
from probe.verdict.door import Door, Level, doors
from probe.verdict.door_words import Told, told
from probe.verdict.troubles import troubles

MANY = 10
"""Clients from which on a share means something."""

CROWD = 20
"""The same, where no configuration says whose the addresses are."""

HANDFUL = 5
"""Addresses that may stand for nodes of a cluster or a proxy."""

MANY_USERS = 3
"""Users who log in from one address, from which on it is hardly one person's."""

MOST, NEARLY_ALL, SOME = 0.5, 0.8, 0.05
"""Shares of a door's clients."""


@dataclass(frozen=True, slots=True)
class DoorRule:
    """One row: a name, when it holds of a door, how bad it is."""

    name: str
    holds: Callable[[Door], bool]
    severity: Severity


DOOR_RULES: tuple[DoorRule, ...] = (
    # nobody to speak of
    DoorRule("only-loopback", lambda d: d.clients == 0 and d.for_strangers and d.loopback >= CROWD, Severity.UNKNOWN),
    DoorRule("nobody", lambda d: d.clients == 0, Severity.OK),
    DoorRule("only-knocks", lambda d: d.level is Level.SILENT, Severity.OK),
    # addresses that the configuration names
    DoorRule(
        "masked", lambda d: d.beyond_doubt and d.stand_ins >= MANY and d.stood_for >= NEARLY_ALL, Severity.CRITICAL
    ),
    DoorRule("mostly-stand-ins", lambda d: d.stand_ins > 0 and d.stood_for >= MOST, Severity.WARNING),
    DoorRule("some-stand-ins", lambda d: d.stand_ins >= MANY and d.stood_for >= SOME, Severity.WARNING),
    # addresses that it does not name
    DoorRule("likely-masked", lambda d: d.for_strangers and _is_handful(d, CROWD), Severity.WARNING),
    DoorRule("many-users-behind-one", lambda d: d.most_users >= MANY_USERS and _is_handful(d, CROWD), Severity.WARNING),
    DoorRule("cannot-tell", lambda d: not d.named and d.private_share >= NEARLY_ALL, Severity.UNKNOWN),
    DoorRule("no-sign", lambda _: True, Severity.OK),
)
_NO_CLIENTS = frozenset({"nobody", "only-knocks"})


def _is_handful(door: Door, least: int) -> bool:
    """A handful of inside addresses that nobody named brings nearly all clients."""
    return door.private >= least and door.private_share >= NEARLY_ALL and len(door.private_callers) <= HANDFUL


def conclude(clients: Clients, reading: Reading, *, called: Mapping[Address, str], named: bool) -> Explained:
    """All that holds, the worst first, and the severity of the worst."""
    found = [*_of_reading(clients, reading), *_of_doors(clients, called, named=named), *troubles(clients)]
    order = list(Severity)
    found.sort(key=lambda finding: order.index(finding.severity))
    severity = worst([finding.severity for finding in found])
    return Explained(clients=clients, reading=reading, findings=tuple(found), severity=severity, named=named)


def rule_of(door: Door) -> DoorRule:
    """The row that tells of a door."""
    return next(rule for rule in DOOR_RULES if rule.holds(door))


def _of_doors(clients: Clients, called: Mapping[Address, str], *, named: bool) -> Iterator[Finding]:
    """Doors of which the same row tells are told of in one breath."""
    alike: dict[DoorRule, list[Door]] = {}
    for door in doors(clients, named=named):
        alike.setdefault(rule_of(door), []).append(door)
    if alike and all(rule.name in _NO_CLIENTS for rule in alike):
        yield Finding(
            rule="no-clients",
            severity=Severity.UNKNOWN,
            sentence="No client did anything here: nothing tells whether clients' addresses survive.",
            hint=_EMPTY,
        )
    for rule in DOOR_RULES:
        if rule in alike:
            yield _finding(rule.name, rule.severity, told(rule.name, alike[rule], called))


def _finding(rule: str, severity: Severity, words: Told) -> Finding:
    return Finding(rule=rule, severity=severity, sentence=words.sentence, first=words.first, hint=words.hint)


def _of_reading(clients: Clients, reading: Reading) -> Iterable[Finding]:
    faults = [log for log in reading.logs if log.fault]
    if faults:
        names = "; ".join(f"{log.name}: {log.fault}" for log in faults[:5])
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        yield Finding(
            rule="not-all-read",
            severity=Severity.UNKNOWN,
            sentence=f"{'Not all' if reading.lines else 'Nothing'} was read: {names}{more}.",
            hint="What follows is about the rest alone." if reading.lines else _NOTHING,
        )
    if reading.lines == 0:
        if not faults:
            yield Finding(
                rule="empty", severity=Severity.UNKNOWN, sentence="There was not one line to read.", hint=_EMPTY
            )
    elif not clients.listeners and not clients.troubles:
        yield Finding(
            rule="nothing-understood",
            severity=Severity.UNKNOWN,
            sentence=f"Not one of {reading.lines:,} lines tells of a client of Postfix's smtpd or postscreen, or of "
            "Dovecot's imap-login.",
            first=next((puzzle.first for puzzle in reading.puzzles if puzzle.first), None),
            hint=_NOTHING,
        )
    if reading.interrupted:
        yield Finding(
            rule="interrupted", severity=Severity.UNKNOWN, sentence="Interrupted: this is about what was read so far."
        )


_EMPTY = "Is it the right pod and container? `kubectl logs deploy/NAME --all-containers --since=24h | probe explain`"
_NOTHING = (
    "Is it the mail server's log? Postfix logs to /var/log/mail.log, the journal (`journalctl -u 'postfix*' -u dovecot "
    "-o short-iso | probe explain`) or the container's output (`kubectl logs`)."
)
