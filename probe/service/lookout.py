"""Sessions on the lookout for lines that bear on them: each is told of its own, not of every batch that comes.

With a thousand endpoints there are dozens of sessions under way and a batch of lines every few milliseconds; to search
for each at each batch would cost the square of their number.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager

from probe.evidence.bearing import keys_of_line
from probe.evidence.events import Observed


class Lookouts:
    """All that are on the lookout now, by what they look for."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def posted(self, keys: Iterable[Hashable]) -> Iterator[asyncio.Event]:
        """An event that is set, until somebody clears it, when a line with one of these keys has come."""
        event, chosen = asyncio.Event(), tuple(keys)
        for key in chosen:
            self._by_key[key].add(event)
        try:
            yield event
        finally:
            for key in chosen:
                self._by_key[key].discard(event)
                if not self._by_key[key]:
                    del self._by_key[key]

    def tell(self, found: Iterable[Observed]) -> None:
        """These lines have come."""
        if not self._by_key:
            return
        for seen in found:
            for key in keys_of_line(seen):
                for event in self._by_key.get(key, ()):
                    event.set()
