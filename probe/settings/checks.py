"""What two values of the file say to each other, and what it says about this machine.

- A check sees a Draft: the parts that are sound by themselves. So one misspelt key hides no other fault, and no check
  draws conclusions from a part that is broken.
- A check yields findings; CHECKS lists them all. `Found` stops the file, `Doubt` is a warning.
- Both sides of a contradiction are named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Hashable, Iterable, Iterator
from importlib.util import find_spec
from ipaddress import ip_network
from itertools import chain, combinations
from pathlib import Path
from typing import TypeVar

from probe.kubernetes.ask import NOT_INSTALLED
from probe.model import WHOAMI, AddressFamily, ImprintKind, Network, as_written, plain_address
from probe.settings.draft import Doubt, Draft, Finding, Found
from probe.settings.evidence import KubernetesSource, Source, SyslogSource
from probe.settings.faults import Location, dotted, shown, shown_name
from probe.settings.loki import LokiAccess, LokiSource, LokiTls
from probe.settings.pace import alerts, bans, pace, read_backs
from probe.settings.parts import KubernetesService
from probe.settings.paths import IMPRINTS
from probe.settings.room import room
from probe.settings.values import ReplyMode
from probe.verdict.belonging import REMEDY, is_outside

_VERSIONS = {AddressFamily.IPV4: 4, AddressFamily.IPV6: 6}
_LARGEST_CA_FILE = 4 << 20
_CERTIFICATE = b"-----BEGIN"

_Key = TypeVar("_Key", bound=Hashable)


def findings(draft: Draft) -> Iterator[Finding]:
    """Everything the checks have to say about a draft."""
    for check in CHECKS:
        yield from check(draft)


def _path_names(draft: Draft) -> Iterator[Finding]:
    named = [((*place, "name"), path.name) for place, path in draft.paths]
    for place, name, first in _repeated(named):
        yield Found(place, shown(name), f"a name no other path has ({dotted(first)} is the same)")


def _one_endpoint_each(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        keyed = [
            ((*place, "endpoints", index), (endpoint.service, endpoint.port))
            for index, endpoint in enumerate(path.endpoints)
        ]
        for again, (service, port), first in _repeated(keyed):
            yield Found(again, f"{service} on port {port}", f"each once on a path ({dotted(first)} is the same)")


def _families(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        wanted, literal, source = _VERSIONS.get(path.address_family), _version(path.host), path.source_address
        if wanted and literal and wanted != literal:
            yield Found((*place, "host"), path.host, f"an {_family(wanted)} address, as address_family says")
        if source is None:
            continue
        if wanted and source.version != wanted:
            expected = f"an {_family(wanted)} address, as address_family says"
            yield Found((*place, "source_address"), str(source), expected)
        elif literal and source.version != literal:
            expected = f"an {_family(literal)} address, as host {path.host} is one"
            yield Found((*place, "source_address"), str(source), expected)


def _imprints(draft: Draft) -> Iterator[Finding]:
    for place, endpoint in draft.endpoints:
        where = (*place, "imprint")
        allowed = IMPRINTS[endpoint.service]
        if endpoint.imprint not in allowed:
            yield Found(where, shown(str(endpoint.imprint)), f"one of {', '.join(allowed)} for {endpoint.service}")
        elif endpoint.imprint is ImprintKind.LOGIN and not endpoint.logs_in:
            yield Found(where, "'login'", f"a login on the same endpoint: {dotted((*place, 'login'))} is missing")


def _whoami(draft: Draft) -> Iterator[Finding]:
    for place, endpoint in draft.endpoints:
        if endpoint.login and not endpoint.logs_in and endpoint.service.speaks_smtp:
            where, name = (*place, "login", "username"), endpoint.login.username
            yield Found(
                where, shown(name), f"another user: names that begin with {WHOAMI} ask Dovecot, so only on imaps"
            )


def _mailbox_to_read_back(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        for index, endpoint in enumerate(path.endpoints):
            where = (*place, "endpoints", index)
            if endpoint.imprint is not ImprintKind.DELIVER and endpoint.deliver:
                yield Found((*where, "deliver"), f"imprint {endpoint.imprint}", "`deliver` only with imprint: deliver")
            if endpoint.imprint is not ImprintKind.DELIVER or not endpoint.service.speaks_smtp:
                continue
            if path.reader is None:
                expected = "an imaps endpoint with a login on the same path, where the message is read back"
                yield Found((*where, "imprint"), "'deliver'", expected)
            elif path.recipient(endpoint) is None:
                expected = f"{dotted((*where, 'deliver', 'recipient'))}: the user name of the imaps login is no address"
                yield Found((*where, "imprint"), "'deliver'", expected)


def _authorities(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        file, where = path.tls.ca_file, (*place, "tls", "ca_file")
        if file is None:
            continue
        if not path.tls.verify:
            yield Found(where, shown_name(file), f"no ca_file where {dotted((*place, 'tls', 'verify'))} is false")
        if reason := _no_certificates(file):
            yield Found(where, f"{shown_name(file)}: {reason}", "a readable PEM file of certificates")


def _password_files(draft: Draft) -> Iterator[Finding]:
    for place, endpoint in draft.endpoints:
        file = endpoint.login.password_file if endpoint.login else None
        if file is not None and (mode := _mode(file)) & stat.S_IROTH:
            reason = f"{as_written(file)} is readable by every user of this machine (mode {mode:04o})"
            yield Doubt((*place, "login", "password_file"), reason)


def _timeouts(draft: Draft) -> Iterator[Finding]:
    limits = draft.timeouts
    if limits is not None and limits.connect > limits.session:
        expected = f"at most timeouts.session, which is {limits.session:g}s"
        yield Found(("timeouts", "connect"), f"{limits.connect:g}s", expected)


def _groups(draft: Draft) -> Iterator[Finding]:
    if draft.networks is None:
        return
    groups = {name: getattr(draft.networks, name) for name in ("nodes", "pods", "gateways", "proxies")}
    for (first, ours), (second, theirs) in combinations(groups.items(), 2):
        for index, network in enumerate(theirs):
            if network in ours:
                expected = f"each network in one group (networks.{first}[{ours.index(network)}] is the same)"
                yield Found(("networks", second, index), str(network), expected)


def _vantage_outside(draft: Draft) -> Iterator[Finding]:
    """A wide range of expected addresses must not hold one that is known as another's: seen, it would prove nothing."""
    for index, address in enumerate(draft.vantage.addresses if draft.vantage else ()):
        place: Location = ("vantage", "addresses", index)
        if address.prefixlen == 0:
            yield Found(place, str(address), "the addresses that servers should see, not all there are")
            continue
        for name, network in _known_networks(draft):
            if network.version != address.version or not network.overlaps(address):
                continue
            if address.num_addresses > 1:
                expected = f"the vantage's addresses alone: this overlaps {name} ({network}), so name them one by one"
                yield Found(place, str(address), expected)
            elif name in INSIDE or name.startswith("topology."):
                reason = f"{address} lies in {name} ({network}): from there no session walks the clients' path"
                yield Doubt(place, reason)


INSIDE = ("networks.nodes", "networks.pods")


def _known_networks(draft: Draft) -> Iterator[tuple[str, Network]]:
    if draft.networks is not None:
        for name in ("nodes", "pods", "gateways", "proxies"):
            yield from ((f"networks.{name}", network) for network in getattr(draft.networks, name))
    for node, addresses in (draft.topology.nodes if draft.topology else {}).items():
        yield from ((f"topology.nodes.{node}", ip_network(address)) for address in addresses)


def _cluster_nodes(draft: Draft) -> Iterator[Finding]:
    if draft.topology is None:
        return
    nodes = draft.topology.nodes
    for place, address, first in _repeated(
        (("topology", "nodes", name), one) for name, held in nodes.items() for one in dict.fromkeys(held)
    ):
        yield Found(place, str(address), f"each address at one node ({dotted(first)} is the same)")
    if draft.topology.health_check_node_port is not None and not nodes and draft.topology.kubernetes is None:
        yield Doubt(("topology", "nodes"), "no node is named, so nobody is asked on health_check_node_port")


def _whose_announcements(draft: Draft) -> Iterator[Finding]:
    """As verdict/belonging.py: of several addresses on the nodes' link one is the Service's, and nobody says which."""
    topology, networks = draft.topology, draft.networks
    if topology is None or networks is None or not topology.nodes or topology.kubernetes is not None:
        return
    nodes = set(chain(*topology.nodes.values()))
    hosts = dict.fromkeys(plain_address(path.host) for _, path in draft.paths if _version(path.host))
    for version in (4, 6):
        rivals = [one for one in hosts if one.version == version and one not in nodes and not is_outside(one, networks)]
        if len(rivals) > 1:
            which = f"nothing says which of {', '.join(map(str, rivals))} is the Service's"
            lost = "while nodes announce two, or nobody answers for one, no metric and no alert tells who announces it"
            yield Doubt(("topology",), f"{which}: {lost}; {REMEDY}")


def _log_sources(draft: Draft) -> Iterator[Finding]:
    if draft.evidence is None:
        return
    sources = draft.evidence.sources
    for place, _, first in _repeated(
        (("evidence", "sources", index), _log_of(one)) for index, one in enumerate(sources)
    ):
        expected = f"each source once ({dotted(first)} is the same): lines read twice prove nothing"
        yield Found(place, "the same source again", expected)
    if draft.evidence.reply is ReplyMode.OFF and not sources:
        yield Doubt(("evidence",), "no usable source and reply off: every session will end unverified")


def _open_listeners(draft: Draft) -> Iterator[Finding]:
    for index, source in enumerate(draft.evidence.sources if draft.evidence else ()):
        if isinstance(source, SyslogSource) and not source.senders and not _is_loopback(source.listen.host):
            reason = (
                "whoever reaches this port can write lines as the mail server does, and verdicts rest on them: name"
            )
            yield Doubt(("evidence", "sources", index, "senders"), f"{reason} who may send")


def _is_loopback(host: str) -> bool:
    try:
        return plain_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _log_of(source: Source) -> Hashable:
    """What tells one log from another: who asks Loki changes nothing of what it answers, nor who may send."""
    match source:
        case LokiSource():
            return source.url, source.query, source.tenant
        case SyslogSource():
            return source.listen
    return source


def _loki(draft: Draft) -> Iterator[Finding]:
    asked: list[tuple[Location, LokiAccess]] = [
        (("evidence", "sources", index), source)
        for index, source in enumerate(draft.evidence.sources if draft.evidence else ())
        if isinstance(source, LokiSource)
    ]
    if draft.sink is not None:
        asked.append((("sink",), draft.sink))
    for place, source in asked:
        yield from _loki_certificates(source, place)
        for name in ("password_file", "bearer_token_file"):
            file = getattr(source, name)
            if file is not None and (mode := _mode(file)) & stat.S_IROTH:
                reason = f"{as_written(file)} is readable by every user of this machine (mode {mode:04o})"
                yield Doubt((*place, name), reason)
        token = source.bearer_token_file
        if token is not None and not _is_readable(token):
            yield Doubt(
                (*place, "bearer_token_file"), f"{as_written(token)} cannot be read now: Loki is asked once it can"
            )


def _loki_certificates(source: LokiAccess, place: Location) -> Iterator[Finding]:
    tls, where = source.tls, (*place, "tls")
    if tls != LokiTls() and not source.url.startswith("https:"):
        yield Found(where, "certificates", f"an https:// url where there is tls ({dotted((*place, 'url'))} is http://)")
    if tls.ca_file is not None and not tls.verify:
        expected = f"no ca_file where {dotted((*where, 'verify'))} is false"
        yield Found((*where, "ca_file"), shown_name(tls.ca_file), expected)
    for name in ("ca_file", "certificate_file"):
        file = getattr(tls, name)
        if file is not None and (reason := _no_certificates(file)):
            yield Found((*where, name), f"{shown_name(file)}: {reason}", "a readable PEM file of certificates")


def _kubernetes(draft: Draft) -> Iterator[Finding]:
    asked: list[tuple[Location, KubernetesSource | KubernetesService]] = [
        (("evidence", "sources", index), source)
        for index, source in enumerate(draft.evidence.sources if draft.evidence else ())
        if isinstance(source, KubernetesSource)
    ]
    if draft.topology is not None and draft.topology.kubernetes is not None:
        asked.append((("topology", "kubernetes"), draft.topology.kubernetes))
    if asked and find_spec("lightkube") is None:
        yield Doubt(asked[0][0], NOT_INSTALLED)
    for place, one in asked:
        file = one.kubeconfig
        if file is not None and not _is_readable(file, at_home=True):
            yield Doubt((*place, "kubeconfig"), f"{as_written(file)} cannot be read now: the API is asked once it can")


CHECKS: tuple[Callable[[Draft], Iterator[Finding]], ...] = (
    _path_names,
    _one_endpoint_each,
    _families,
    _imprints,
    _whoami,
    _mailbox_to_read_back,
    _authorities,
    _password_files,
    pace,
    alerts,
    bans,
    read_backs,
    _timeouts,
    _groups,
    _vantage_outside,
    _cluster_nodes,
    _whose_announcements,
    _log_sources,
    _open_listeners,
    _loki,
    _kubernetes,
    room,
)


def _repeated(items: Iterable[tuple[Location, _Key]]) -> Iterator[tuple[Location, _Key, Location]]:
    seen: dict[_Key, Location] = {}
    for place, key in items:
        if key in seen:
            yield place, key, seen[key]
        seen.setdefault(key, place)


def _version(host: str) -> int | None:
    try:
        return plain_address(host).version
    except ValueError:
        return None


def _family(version: int) -> str:
    return f"IPv{version}"


def _mode(file: Path) -> int:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return 0


def _is_readable(file: Path, *, at_home: bool = False) -> bool:
    """`at_home`: a `~` is what it is to a shell."""
    try:
        file = file.expanduser() if at_home else file
        return stat.S_ISREG(file.stat().st_mode) and os.access(file, os.R_OK)
    except (OSError, RuntimeError):
        return False


def _no_certificates(file: Path) -> str | None:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "no regular file"
        with file.open("rb") as opened:
            return None if _CERTIFICATE in opened.read(_LARGEST_CA_FILE) else "no certificate in it"
    except OSError as error:
        return error.strerror or "unreadable"
    except ValueError:
        return "no possible file name"
