"""What a rule says of doors, in plain words: one row per rule of clients.DOOR_RULES.

Rule 1: a sentence begins with the share and the count, goes on with whose the addresses are, and ends with what that
        means; where it can mean something harmless too, it says so.
Rule 2: the hint is what a tired person types or looks at next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from probe.model import Address, Caller, MaskedBy, Whose
from probe.verdict.door import Door, Level
from probe.verdict.words import UNMASK

MOST_NAMED = 3

_KINDS = {
    Whose.NODE: ("a cluster node", "cluster nodes", "kube-proxy or the node's NAT hides the clients"),
    Whose.POD: ("a pod", "pods", "something in the cluster relays or masquerades them"),
    Whose.GATEWAY: ("a gateway", "gateways", "the router or firewall hides the clients"),
    Whose.PROXY: ("a proxy", "proxies", "the proxy connects onward without telling whom it stands for"),
    Whose.PRIVATE: ("a private address", "private addresses", ""),
}
_UNMASK = {
    Whose.NODE: UNMASK[MaskedBy.NODE],
    Whose.POD: UNMASK[MaskedBy.POD],
    Whose.GATEWAY: UNMASK[MaskedBy.GATEWAY],
    Whose.PROXY: UNMASK[MaskedBy.PROXY],
}
_NAME_THEM = (
    "Find out whose these addresses are (`kubectl get nodes,pods -A -o wide | grep ADDRESS`) and name them under "
    "`networks` in the configuration; then ask again. `probe --once` from outside the cluster proves it."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A finding's words."""

    sentence: str
    first: str | None = None
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """Doors of which the same is told, and the addresses that it is about."""

    doors: Sequence[Door]
    callers: Sequence[Caller]
    called: Mapping[Address, str]
    part: int

    @property
    def whole(self) -> int:
        return sum(door.clients for door in self.doors)

    @property
    def where(self) -> str:
        """`postfix/postscreen and imap-login`."""
        return _listed([door.name for door in self.doors], "and")

    @property
    def share(self) -> str:
        """`97% of 4,210 clients of imap-login that began a mail or a login`."""
        levels = {door.level for door in self.doors}
        did = f" {levels.pop().value}" if len(levels) == 1 and Level.SILENT not in levels else ""
        clients = "client" if self.whole == 1 else "clients"
        return f"{_share(self.part, self.whole)} {clients} at {self.where}{did}"

    @property
    def come(self) -> str:
        """A verb that fits."""
        return "comes" if self.whole == 1 else "come"

    @property
    def addresses(self) -> str:
        """`10.0.20.102 (k8s-node2), a cluster node`."""
        named = list(dict.fromkeys(self._named(caller) for caller in self.callers))
        some = _listed(named, "and")
        kinds = list(dict.fromkeys(caller.whose for caller in self.callers))
        if len(named) == 1:
            return f"{some}, {_KINDS[kinds[0]][0]}"
        return f"{len(named)} addresses of {_listed([_KINDS[kind][1] for kind in kinds], 'and')} ({some})"

    def _named(self, caller: Caller) -> str:
        name = self.called.get(caller.address)
        return f"{caller.address} ({name})" if name else str(caller.address)

    @property
    def first(self) -> str | None:
        """The first line that shows the address with most clients."""
        return next((caller.first for caller in self.callers if caller.first), None)

    @property
    def why(self) -> str:
        """Why the address that brings most of them stands there."""
        return _KINDS[self.callers[0].whose][2]

    @property
    def hint(self) -> str:
        return _UNMASK[self.callers[0].whose]


def told(rule: str, doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    """The words for doors of which this rule holds."""
    return _WORDS[rule](doors, called)


def _of_stand_ins(doors: Sequence[Door], called: Mapping[Address, str]) -> Crowd:
    callers = _merged(door.stand_in_callers for door in doors)
    return Crowd(doors=doors, callers=callers, called=called, part=sum(door.stand_ins for door in doors))


def _of_private(doors: Sequence[Door], called: Mapping[Address, str]) -> Crowd:
    callers = _merged(door.private_callers for door in doors)
    return Crowd(doors=doors, callers=callers, called=called, part=sum(door.private for door in doors))


def _merged(callers: Iterable[Iterable[Caller]]) -> list[Caller]:
    return sorted((caller for some in callers for caller in some), key=lambda caller: -caller.count.clients)


def _masked(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_stand_ins(doors, called)
    sentence = f"{crowd.share} {crowd.come} from {crowd.addresses}: {crowd.why}."
    return Told(sentence=sentence, first=crowd.first, hint=crowd.hint)


def _mostly_stand_ins(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_stand_ins(doors, called)
    sentence = (
        f"Likely masked: {crowd.share} {crowd.come} from {crowd.addresses}. Either {crowd.why}, or it has business "
        "of its own here: health checks, a webmail, a relay."
    )
    return Told(sentence=sentence, first=crowd.first, hint=crowd.hint)


def _some_stand_ins(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_stand_ins(doors, called)
    sentence = (
        f"{crowd.share} {crowd.come} from {crowd.addresses}, the rest do not: either one of several ways in hides its "
        "clients, or the cluster itself sends mail."
    )
    return Told(sentence=sentence, first=crowd.first, hint=crowd.hint)


def _likely_masked(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_private(doors, called)
    sentence = (
        f"Likely masked: {crowd.share} {crowd.come} from {crowd.addresses}. Strangers' mail comes from public "
        "addresses, so a node, a gateway or a proxy probably stands in their place; a relay of yours looks the same."
    )
    return Told(sentence=sentence, first=crowd.first, hint=_NAME_THEM)


def _many_users(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_private(doors, called)
    users = max(door.most_users for door in doors)
    sentence = (
        f"Likely masked: {crowd.share} {crowd.come} from {crowd.addresses}, and at least {users} users log in from a "
        "single one. A node, a gateway or a proxy probably stands in their place; a webmail looks the same."
    )
    return Told(sentence=sentence, first=crowd.first, hint=_NAME_THEM)


def _cannot_tell(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_private(doors, called)
    sentence = (
        f"{crowd.share} {crowd.come} from {crowd.addresses}: whether those are the clients or stand in their place, "
        "this log alone cannot tell."
    )
    return Told(sentence=sentence, first=crowd.first, hint=_NAME_THEM)


def _no_sign(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_stand_ins(doors, called)
    if not all(door.named for door in doors):
        public = sum(door.counted(Whose.PUBLIC) for door in doors)
        share = Crowd(doors=doors, callers=(), called=called, part=public)
        return Told(sentence=f"No sign of masking: {share.share} {share.come} from public addresses.")
    few = f"; {crowd.part:,} from {crowd.addresses}" if crowd.part else ""
    share = Crowd(doors=doors, callers=(), called=called, part=crowd.whole - crowd.part)
    return Told(
        sentence=f"No sign of masking: {share.share} {share.come} from no address that `networks` names{few}.",
    )


def _only_knocks(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = _of_stand_ins(doors, called)
    everybody = Crowd(doors=doors, callers=(), called=called, part=crowd.whole)
    kinds = {"/" in door.name for door in doors}
    did = "said nothing" if kinds == {True} else "did not try to log in" if kinds == {False} else "did nothing"
    some = f" ({crowd.part:,} from {crowd.addresses})" if crowd.part else ""
    sentence = f"{everybody.share} {did}{some}: health checks, scanners, monitoring, or clients that gave up."
    return Told(sentence=sentence)


def _nobody(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = Crowd(doors=doors, callers=(), called=called, part=0)
    return Told(
        sentence=f"Nobody came to {crowd.where} but local programs, the probe, or clients that were gone at once."
    )


def _only_loopback(doors: Sequence[Door], called: Mapping[Address, str]) -> Told:
    crowd = Crowd(doors=doors, callers=(), called=called, part=0)
    number = sum(door.loopback for door in doors)
    sentence = (
        f"All {number:,} clients at {crowd.where} come from the server itself (loopback): either only local "
        "programs send mail here, or a proxy beside the server hides the clients."
    )
    return Told(sentence=sentence, hint="If there is such a proxy: " + UNMASK[MaskedBy.PROXY])


_WORDS: dict[str, Callable[[Sequence[Door], Mapping[Address, str]], Told]] = {
    "only-loopback": _only_loopback,
    "nobody": _nobody,
    "only-knocks": _only_knocks,
    "masked": _masked,
    "mostly-stand-ins": _mostly_stand_ins,
    "some-stand-ins": _some_stand_ins,
    "likely-masked": _likely_masked,
    "many-users-behind-one": _many_users,
    "cannot-tell": _cannot_tell,
    "no-sign": _no_sign,
}
RULES_TOLD = tuple(_WORDS)


def _share(part: int, whole: int) -> str:
    """`97% of 4,210`; never 100% where one is missing, never 0% where there is one."""
    if part == whole:
        return "The only" if whole == 1 else f"All {whole:,}"
    return f"{min(99, max(1 if part else 0, round(100 * part / whole)))}% of {whole:,}"


def _listed(names: Sequence[str], word: str) -> str:
    some = list(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        some.append(f"{len(names) - MOST_NAMED} more")
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} {word} {some[-1]}"
