"""What a benchmark says of the machine it ran on, so that its figures can be read; no names, no addresses."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path


def machine() -> str:
    """Cores, processor, load, kernel, Python."""
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    models = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    parts = (
        f"{os.cpu_count()} × {models[0] if models else platform.machine()}",
        f"load average {os.getloadavg()[0]:.1f}",
        f"Linux {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
    )
    return " · ".join(parts)


def first_line(*command: str) -> str:
    """The first line a command prints, on whichever stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return (done.stdout or done.stderr).strip().splitlines()[0]


def markdown(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table whose first column is text and whose others are figures."""
    lines = [heads, ("---", *("---:" for _ in heads[1:])), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
