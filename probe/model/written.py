"""Values out of `${NAME}`: what is shown of one is what the file says, for what the variable holds may be a secret.

Rules:
- `as_written` is what goes into names, labels, reasons, logs and pages; the value itself goes to whom it is meant for.
- What others say of a request may quote it: `unexpanded` puts back what the file says, however it is quoted (mask.py).

>>> url = Expanded("http://loki/s3cret", "http://loki/${SEGMENT}", [("s3cret", "${SEGMENT}")])
>>> as_written(url), unexpanded("no route to /s3cret/push", url)
('http://loki/${SEGMENT}', 'no route to /${SEGMENT}/push')
"""

from __future__ import annotations

from collections.abc import Iterable

from probe.model.mask import without

SHORTEST = 4
"""Characters of what a variable holds that is looked for in what others say; less stands in any text."""


class Expanded(str):
    """Text with variables replaced. `template` is what the file says: the only form that may be shown.

    `held`: what each variable holds, and how the file names it.
    """

    __slots__ = ("held", "template")
    held: tuple[tuple[str, str], ...]
    template: str

    def __new__(cls, text: str, template: str, held: Iterable[tuple[str, str]] = ()) -> Expanded:
        expanded = super().__new__(cls, text)
        expanded.template = template
        # The longest first, for one may be part of another.
        expanded.held = tuple(sorted(held, key=lambda one: -len(one[0])))
        return expanded


def as_written(value: object) -> str:
    """A text, or the path of a file, as the configuration has it."""
    return getattr(value, "template", "") or str(value)


def unexpanded(said: str, *values: str | None) -> str:
    """What somebody says, with the file's words in place of what its variables hold."""
    for value in values:
        for held, written in value.held if isinstance(value, Expanded) else ():
            if len(held) >= SHORTEST:
                said = without(said, held, written)
    return said
