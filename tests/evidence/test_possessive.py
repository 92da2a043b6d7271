"""Python before 3.11.5, Debian 12's too, goes wrong where a possessive quantifier stands after a group that backtracks.

An atomic group around it says the same and is right everywhere (https://github.com/python/cpython/issues/106052).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from probe.evidence.read import events
from tests.evidence.expectations import NOW, samples

ROOT = Path(__file__).parents[2]
ON_A_GROUP = re.compile(r"\)(?:[?*+]|\{[\d, ]+\})\+")
DISTRIBUTION_S = shutil.which("python3", path="/usr/bin")
READ = """
import json, sys
from probe.evidence.read import events
lines = json.load(sys.stdin)
found = ([repr(one.event) for one in events(line.encode("latin-1"), now=float(sys.argv[1]))] for line in lines)
print(json.dumps(list(found)))
"""


@pytest.mark.parametrize("file", sorted((ROOT / "probe").rglob("*.py")), ids=lambda file: file.stem)
def test_no_group_is_possessive(file: Path) -> None:
    assert not [line for line in file.read_text(encoding="utf-8").splitlines() if ON_A_GROUP.search(line)]


@pytest.mark.skipif(DISTRIBUTION_S is None, reason="this system has no Python of its own")
def test_the_distribution_s_python_reads_every_sample_alike() -> None:
    """The reader imports nothing but the standard library, so any Python can be asked."""
    lines = [sample.raw + b"\n" for sample in samples()]
    here = [[repr(found.event) for found in events(line, now=NOW)] for line in lines]
    command = [str(DISTRIBUTION_S), "-c", READ, str(NOW)]
    asked = json.dumps([line.decode("latin-1") for line in lines])
    done = subprocess.run(command, input=asked, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == here
    assert sum(map(len, here)) > 100
