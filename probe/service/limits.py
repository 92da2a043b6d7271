"""What the system lets this process have."""

from __future__ import annotations

import contextlib
import resource


def raise_limit() -> None:
    """As many descriptors as the system lets us have: each session and each knock under way takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
