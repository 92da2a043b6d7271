"""What tests of the lab share: where a generation cannot run here its tests are skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab import Choices, Generation, Lab, find_all


@contextmanager
def running_lab(name: str, choices: Choices | None = None) -> Iterator[Lab]:
    """A lab of a server generation."""
    found = find_all()[name]
    if not isinstance(found, Generation):
        pytest.skip(f"no lab of {found.name}: {found.reason}")
    with Lab(generation=name, choices=choices) as running:
        yield running
