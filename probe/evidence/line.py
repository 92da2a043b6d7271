r"""A raw log line -> Line: all headers that syslog, containers and shippers put around it taken off.

Rules of this file:
- Layers come off one by one, outermost first, each by one row of LAYERS: JSON, CRI, RFC 5424, RFC 3164 and RFC 3339
  headers, a bare `program: `, what kubectl and grep put before a line. The innermost program wins.
- Below a program nothing is taken off, for there stands what a program logs, perhaps at a stranger's dictation.
  The exception are programs that only carry others' lines (CARRIERS), Dovecot's `dovecot: imap-login: …` among them.
- Of the stamps the finest counts that was taken on the server's own machine: by its syslog, journald or container
  runtime. A relay's or shipper's stamp counts only if there is no other.
- Half a line is no line: CRI's partial lines (`P`) and lines that Docker cut give None.
- Any bytes give an answer. Bytes that are not UTF-8 become U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from probe.evidence import stamp, wrapped
from probe.evidence.events import Line, Stamp

LONGEST = (1 << 20) - 1
"""A line of so many bytes or more is no line: a source may have cut it, and a cut line proves nothing."""

PROGRAM = rb"[^\s:\[\](){}<>\"|]{1,128}+"
"""A program's name as syslog writes it. `imap(probe)<123><…>:` is `imap`, for the rest are Dovecot's details."""

TAG = rb"(?!(?:Debug|Info|Warning|Error|Fatal|Panic):)(" + PROGRAM + rb")(?>(?:\([^()\s]*+\))?)(?>(?:<[^<>\s]*+>)*)"
TAG += rb"(?>(?:\[(\d{1,10})\])?):(?: |$)"

HOST = rb"(?>(?:[^\s(<{\"]++(?:(?<!:)|(?<=::)) )?)"
"""Any name but one that ends like a program (`imap-login: `); IPv6 addresses may end in `::`."""

CARRIERS = re.compile(r"dovecot|supervisord?|conmon|docker\S*|podman\S*|containerd\S*|[0-9a-f]{12}|[0-9a-f]{64}")
"""Programs whose messages are other programs' lines, header and all."""

FOREIGN = rb"(?:\[[^\]\s]{1,255}+\] |[\w./-]{1,255}?[:-](?:\d{1,12}[:-])?)?"
"""What `kubectl logs --prefix` and `grep -Hn` put before a line."""

_LAYERS_DEEP = 6
_TEXT_END = b"\r\n\t \0"
_LAST = frozenset(_TEXT_END + b"25")


class _Clock(IntEnum):
    """Who stamped a layer, the best first."""

    SERVER = 0
    SHIPPER = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """A header: what it says and what stands below it."""

    below: bytes
    program: str = ""
    pid: int | None = None
    stamp: Stamp | None = None
    clock: _Clock = _Clock.SERVER
    replaces: bool = False
    cut: bool = False


_CRI = re.compile(rb"(" + stamp.ISO + rb") (?:stdout|stderr) ([FP])(?:\S*) (.*)", re.DOTALL)
_RFC5424 = re.compile(
    rb"<\d{1,3}>1 (-|" + stamp.ISO + rb") \S{1,255} (\S{1,128}) (\S{1,128}) \S{1,128} "
    rb"(?:-|(?>(?:\[(?>(?:[^\]\\\"]|\\.|\"(?>(?:[^\"\\]|\\.)*)\")*)\])+))(?: (?:\xef\xbb\xbf)?(.*))?",
    re.DOTALL,
)
_SYSLOG = re.compile(
    rb"(?:<\d{1,3}>)?(" + stamp.CLOCK + rb"|" + stamp.ISO + rb"):? " + HOST + TAG + rb"(.*)", re.DOTALL
)
_BARE = re.compile(rb"(?:<\d{1,3}>)?" + TAG + rb"(.*)", re.DOTALL)
_FOREIGN = re.compile(
    FOREIGN + rb"(?:(" + stamp.ISO + rb") )?((?:" + stamp.CLOCK + rb"|" + stamp.ISO + rb")[ :].*)", re.DOTALL
)
_COMPOSE = re.compile(rb"[\w.-]{1,64}+ {1,64}+\| (.*)", re.DOTALL)


def _json(text: bytes, now: float) -> _Layer | None:
    found = wrapped.unwrap(text, now=now) if text.startswith(b"{") else None
    if not found:
        return None
    return _Layer(
        below=found.text.strip(_TEXT_END),
        program=found.program or "",
        pid=found.pid,
        stamp=found.stamp,
        clock=_Clock.SERVER if found.on_server else _Clock.SHIPPER,
        cut=found.cut,
    )


def _cri(text: bytes, now: float) -> _Layer | None:
    match = _CRI.fullmatch(text)
    if not match:
        return None
    return _Layer(below=match[3], stamp=stamp.written(match[1], now=now), cut=match[2] == b"P")


def _rfc5424(text: bytes, now: float) -> _Layer | None:
    match = _RFC5424.fullmatch(text)
    if not match:
        return None
    time, program, pid, below = match.groups()
    return _Layer(
        below=(below or b"").lstrip(b" "),
        program="" if program == b"-" else _decoded(program),
        pid=int(pid) if pid.isdigit() and len(pid) <= 10 else None,
        stamp=stamp.written(time, now=now) if time != b"-" else None,
        replaces=True,
    )


def _syslog(text: bytes, now: float) -> _Layer | None:
    match = _SYSLOG.fullmatch(text)
    if not match:
        return None
    time, program, pid, below = match.groups()
    return _Layer(
        below=below,
        program=_decoded(program),
        pid=int(pid) if pid else None,
        stamp=stamp.written(time, now=now),
        replaces=True,
    )


def _bare(text: bytes, _now: float) -> _Layer | None:
    match = _BARE.fullmatch(text)
    if not match:
        return None
    program, pid, below = match.groups()
    return _Layer(below=below, program=_decoded(program), pid=int(pid) if pid else None)


def _compose(text: bytes, _now: float) -> _Layer | None:
    match = _COMPOSE.fullmatch(text)
    return _Layer(below=match[1]) if match else None


def _foreign(text: bytes, now: float) -> _Layer | None:
    """The same, and the stamp of `kubectl logs --timestamps`, before a line that begins with a stamp of its own."""
    match = _FOREIGN.fullmatch(text)
    if not match or len(match[2]) == len(text):
        return None
    return _Layer(below=match[2], stamp=stamp.written(match[1], now=now) if match[1] else None)


LAYERS: tuple[Callable[[bytes, float], _Layer | None], ...] = (
    _json,
    _cri,
    _rfc5424,
    _syslog,
    _bare,
    _compose,
    _foreign,
)
"""Every header that is understood; the first that fits comes off."""


def parse_line(raw: bytes, *, now: float) -> Line | None:
    """Take off all headers; None for an empty line and for one that was cut."""
    text = b"" if len(raw) > LONGEST else raw.strip(_TEXT_END)
    layers: list[_Layer] = []
    for _ in range(_LAYERS_DEEP):
        layer = next((layer for peel in LAYERS if (layer := peel(text, now))), None)
        if layer is None:
            break
        layers.append(layer)
        text = layer.below
        if layer.program and not CARRIERS.fullmatch(layer.program):
            break
    if not text or any(layer.cut for layer in layers):
        return None
    named = next((layer for layer in reversed(layers) if layer.program), _Layer(below=text))
    return Line(message=message_of(text), program=named.program, pid=named.pid, stamp=_best(layers))


def message_of(text: bytes) -> str:
    """A message's text, without the line's end, be it plain or escaped by rsyslog."""
    if text and text[-1] in _LAST:
        text = text.rstrip(_TEXT_END).removesuffix(b"#012").removesuffix(b"#015")
    return text.decode("utf-8", "replace")


def _best(layers: list[_Layer]) -> Stamp | None:
    """The finest of the server's stamps; of two syslog headers the outer is a relay's."""
    stamped = [layer for layer in layers if layer.stamp]
    inner = next((layer for layer in reversed(stamped) if layer.replaces), None)
    kept = [layer for layer in reversed(stamped) if not layer.replaces or layer is inner]
    kept.sort(key=lambda layer: (layer.clock, layer.stamp.resolution if layer.stamp else 0.0))
    return kept[0].stamp if kept else None


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
