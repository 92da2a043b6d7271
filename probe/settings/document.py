"""YAML text -> plain values, with the line of everything.

- Only mappings, lists, text, numbers, true/false and null: no tags, no merge keys, no dates, no YAML 1.1 surprises
  (`off`, `0123` and `12:30` stay text, so `reply: off` means what it says).
- Values are built from parser events, not by recursion: depth, number of values and aliases are bounded, so a small
  file cannot become a large object.
- `${NAME}` is replaced in scalar values only and after parsing: what a variable holds can never become YAML.
- What one fault does not prevent is still read: a key given twice or a missing variable is noted, and reading goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from probe.model import Expanded
from probe.settings.faults import ConfigurationFault, Location, dotted, shortened

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VARIABLE = re.compile(r"\$(?P<escaped>\$)?\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_TAB = re.compile(r" *\t")
_STR_TAG = "tag:yaml.org,2002:str"

_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?(0|[1-9][0-9]{0,17})"), int),
    (re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}"), float),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file as plain values. `faulty` are locations already complained about: no second fault is told for them."""

    value: object
    lines: Mapping[Location, int]
    faults: tuple[ConfigurationFault, ...] = ()
    faulty: frozenset[Location] = frozenset()

    def line(self, location: Location) -> int | None:
        """Line of a location, or of the nearest thing around it."""
        around = (location[:length] for length in range(len(location), 0, -1))
        return next((self.lines[place] for place in around if place in self.lines), None)


class Unreadable(Exception):
    """The text is no configuration at all; carries the one fault that says why."""

    def __init__(self, found: str, expected: str, *, line: int | None = None, column: int | None = None) -> None:
        self.fault = ConfigurationFault(path="", found=found, expected=expected, line=line, column=column)
        super().__init__(self.fault)


def decoded(raw: bytes) -> str:
    """UTF-8 text of a file, or Unreadable with the line where it stops being text."""
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"{len(raw)} bytes or more", f"at most {MAX_BYTES} bytes (1 MiB)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"the byte 0x{raw[error.start]:02x}", "UTF-8 text", line=line) from None
    if stray := _FORBIDDEN.search(text):
        line = text.count("\n", 0, stray.start()) + 1
        raise Unreadable(f"the character U+{ord(stray[0]):04X}", "text without control characters", line=line)
    return text


def parsed(text: str, environment: Mapping[str, str] | None) -> Document:
    """Build the values of the one YAML document in the text. Without an environment `${NAME}` stays what it is."""
    builder = _Builder(environment)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(error, text) from None
    except yaml.YAMLError as error:
        raise Unreadable(type(error).__name__, "YAML") from None
    return Document(
        value=builder.root, lines=builder.lines, faults=tuple(builder.faults), faulty=frozenset(builder.faulty)
    )


def _no_yaml(error: yaml.MarkedYAMLError, text: str) -> Unreadable:
    """Keep the parser's words and the place, not the snippet of the file it would print: that may hold a secret."""
    mark = error.problem_mark or error.context_mark
    found = f"text that is no YAML ({shortened(error.problem or error.context or 'unknown')})"
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    lines = text.splitlines()
    if line is not None and column is not None and line <= len(lines) and _TAB.match(lines[line - 1]):
        return Unreadable("a tab at the beginning of the line", "spaces: YAML does not indent with tabs", line=line)
    unquoted = line is not None and line <= len(lines) and "${" in lines[line - 1]
    expected = "YAML, with quotes around ${NAME} inside {…} and […]" if unquoted else "YAML"
    return Unreadable(found, expected, line=line, column=column)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    container: dict[str, object] | list[object]
    location: Location
    anchor: str | None
    key: str | None = None
    skipped: bool = False
    size: int = 1


@dataclass(slots=True)
class _Builder:
    """Turns parser events into values; the stack of open containers is the only state besides the results."""

    environment: Mapping[str, str] | None
    root: object = None
    lines: dict[Location, int] = field(default_factory=dict)
    faults: list[ConfigurationFault] = field(default_factory=list)
    faulty: set[Location] = field(default_factory=set)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[object, int]] = field(default_factory=dict)
    documents: int = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise Unreadable("a second document (---)", "one document", line=line)
            case yaml.ScalarEvent() if self._wants_key():
                self._begin_key(event.value, line)
            case yaml.ScalarEvent():
                self._place(self._scalar(event, line), 1, event.anchor, line)
            case yaml.AliasEvent():
                self._alias(event.anchor or "", line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self.stack.pop()
                self._place(closed.container, closed.size, closed.anchor, None)

    def _wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].container, dict) and self.stack[-1].key is None

    def _begin_key(self, key: str, line: int) -> None:
        top = self.stack[-1]
        location = (*top.location, key)
        if key == "<<":
            raise Unreadable("a merge key (<<)", "an alias for the whole value instead", line=line)
        top.key, top.skipped = key, key in top.container
        if top.skipped:
            found = f"this key a second time (first on line {self.lines.get(location, line)})"
            self._complain(location, found, "each key once", line)
        else:
            self.lines.setdefault(location, line)

    def _open(self, event: Any, line: int) -> None:
        if self._wants_key():
            raise Unreadable("a list or mapping as a key", "text as a key", line=line)
        if len(self.stack) >= MAX_DEPTH:
            raise Unreadable(f"more than {MAX_DEPTH} levels inside each other", "fewer", line=line)
        self._refuse_tag(event, line)
        container: dict[str, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
        location = self._next_location()
        self.lines.setdefault(location, line)
        self.stack.append(_Open(container, location, event.anchor))

    def _next_location(self) -> Location:
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.location, len(top.container) if top.key is None else top.key)

    def _alias(self, anchor: str, line: int) -> None:
        if anchor not in self.anchors:
            raise Unreadable(f"the alias {shortened('*' + anchor)}", "an alias of a value above it", line=line)
        if self._wants_key():
            raise Unreadable("an alias as a key", "text as a key", line=line)
        value, size = self.anchors[anchor]
        self._place(value, size, None, line)

    def _place(self, value: object, size: int, anchor: str | None, line: int | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = (value, size)
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        top.size += size
        if top.size > MAX_VALUES:
            raise Unreadable(f"more than {MAX_VALUES} values", "a smaller file (mind its aliases)", line=line)
        if isinstance(top.container, list):
            if line is not None:
                self.lines.setdefault((*top.location, len(top.container)), line)
            top.container.append(value)
        elif top.key is not None:
            if not top.skipped:
                top.container[top.key] = value
            top.key = None

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> object:
        self._refuse_tag(event, line)
        if event.implicit[0] and event.style in (None, ""):
            plain = next((make for pattern, make in _SCALARS if pattern.fullmatch(event.value)), None)
            if plain is not None:
                return plain(event.value)
        if self.environment is None or "${" not in event.value:
            return event.value
        return self._expanded(event.value, self.environment, line)

    def _expanded(self, template: str, environment: Mapping[str, str], line: int) -> str:
        for fault in _missing(template, environment):
            self._complain(self._next_location(), *fault, line)
        text = _VARIABLE.sub(lambda found: _replacement(found, environment), template)
        named = [found for found in _VARIABLE.finditer(template) if not found["escaped"]]
        held = ((_replacement(found, environment), found[0]) for found in named)
        return Expanded(text, template, held) if named else text

    def _refuse_tag(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", _STR_TAG):
            raise Unreadable(f"the tag {shortened(event.tag)}", "plain values without tags", line=line)

    def _complain(self, location: Location, found: str, expected: str, line: int) -> None:
        self.faulty.add(location)
        self.faults.append(ConfigurationFault(path=dotted(location), found=found, expected=expected, line=line))


def _missing(template: str, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for found in _VARIABLE.finditer(template):
        if found["escaped"]:
            continue
        if found["name"] is None:
            yield "${ without the name of a variable and }", "${NAME}, or $${ for the characters ${"
        elif found["name"] not in environment:
            yield f"${{{found['name']}}}", f"the environment variable {found['name']} to be set"


def _replacement(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["escaped"]:
        return found[0][1:]
    return environment.get(found["name"] or "", "")
