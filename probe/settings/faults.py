"""What can be wrong with a configuration file, in words for the person who wrote it.

- A fault says where (line and path in the file), what was found and what was expected; a warning says where and why.
- All faults of a file are raised together, as one ConfigurationError.
- A value that may be a secret is never part of a message: whoever makes a fault uses `shown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Location = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w-]{1,40}")
_LONGEST_SHOWN = 60
_LONGEST_NAME = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationFault:
    """One reason why the file cannot be used. `path` is empty where the file as a whole is meant."""

    path: str
    found: str
    expected: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return f"{_where(self.line, self.column, self.path)}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationWarning:
    """Something the file may say, but that will probably not do what was meant."""

    path: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{_where(self.line, None, self.path)}: {self.reason}"


class ConfigurationError(ValueError):
    """The file cannot be used; `faults` are all the reasons, in the order of the file."""

    def __init__(self, file: str, faults: Iterable[ConfigurationFault]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__(file, self.faults)

    def __str__(self) -> str:
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        return "\n".join([f"{self.file}: {count}", *(f"  {fault}" for fault in self.faults)])


class ConfigurationNotFound(ConfigurationError):
    """No file where one was looked for; `tried` are the places."""

    def __init__(self, tried: Iterable[str], expected: str) -> None:
        self.tried = tuple(tried)
        found = "no file at " + ", ".join(self.tried)
        super().__init__("no configuration", [ConfigurationFault(path="", found=found, expected=expected)])


def _where(line: int | None, column: int | None, path: str) -> str:
    place = [f"line {line}"] if line is not None else []
    place += [f"column {column}"] if column is not None else []
    place += [path] if path else []
    return ", ".join(place) or "the file"


def dotted(location: Location) -> str:
    """Write a location as a person reads it: `paths[0].endpoints[1].port`."""
    text = ""
    for step in location:
        if isinstance(step, str) and _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{shortened(repr(step))}]"
    return text


def shown(value: object, *, longest: int = _LONGEST_SHOWN) -> str:
    """Write a found value: scalars short, containers by their kind only, an expanded value as the file has it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return shortened(str(value))
    if isinstance(value, str):
        return shortened(repr(str(getattr(value, "template", value))), longest)
    return kind_of(value)


def kind_of(value: object) -> str:
    """Name the shape of a value without showing it: where a mapping is expected, a stray text may be a password."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    return "text" if isinstance(value, str) else "a number or true/false"


def shown_name(file: object) -> str:
    """Write the name of a file: whole, as it is the thing to look for."""
    return shown(file if isinstance(file, str) else str(file), longest=_LONGEST_NAME)


def shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Cut what would not fit a line of a terminal."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
