"""Who touches files where the daemon's event loop turns: a table, so that another place is a decision.

A file may have become a FIFO, or its file system may hang: who waits for it on the loop stops every session and every
answer, and no signal ends the process. So functions that await never touch one, and each module whose other functions
do has a row that says why the loop does not wait for them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "probe"
ROOMS = ("service", "evidence", "kubernetes", "topology", "sessions")

CALLS = re.compile(
    r"open|access|stat|lstat|fstat|scandir|listdir|mkstemp|pread|FileIO|exists|is_file|is_dir|isdir|isfile|"
    r"realpath|read_text|read_bytes|write_text|write_bytes|unlink|rename|mkdir|touch|glob|iterdir|samefile|"
    r"load_cert_chain|load_verify_locations|create_default_context|contents"
)
"""Last parts of the names of what touches files. (A name that something else has too costs a row of OTHERS.)"""

ASIDE = {
    "evidence/sources/file.py": "steps of its own lane",
    "evidence/sources/generation.py": "steps of file.py",
    "evidence/sources/rotated.py": "steps of file.py",
    "evidence/sources/loki_http.py": "Again: token and certificates",
    "service/history/opening.py": "to_thread",
    "service/history/place.py": "to_thread",
    "service/trust_memory.py": "TrustChecks._aside, and within() as it begins",
    "service/web/web_config.py": "a look of standing.py, or a reading of reading.py",
    "service/web/web_tls.py": "the same",
    "sessions/tls.py": "within(): outfit.py makes every context before a session asks for one",
}
"""By what they are done in threads."""

NO_LOOP = {
    "service/clock.py": "the kernel's own words in /proc, once",
    "service/metrics/textfile.py": "after the round, whose loop has ended",
    "service/vigil/process.py": "the kernel's own words in /proc, of one process",
    "service/saved_logs.py": "`probe explain` has no loop",
    "service/web/assets.py": "what comes with the package, once",
    "topology/http_get.py": "the system's authorities, once",
    "evidence/sources/stdin.py": "standard input, which is there from the start",
}

OTHERS = {"service/web/app.py": "self._door.open", "sessions/mailbox.py": "inbox.open"}
"""Calls of such a name that touch no file."""


def touching(module: str) -> Iterator[tuple[str, bool]]:
    """Calls that touch files, and whether the function around each awaits."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    yield from _within(tree, awaits=False)


def _within(node: ast.AST, *, awaits: bool) -> Iterator[tuple[str, bool]]:
    for inner in ast.iter_child_nodes(node):
        within = awaits
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            within = isinstance(inner, ast.AsyncFunctionDef)
        if isinstance(inner, ast.Call) and CALLS.fullmatch(ast.unparse(inner.func).rpartition(".")[2]):
            yield ast.unparse(inner.func), within
        yield from _within(inner, awaits=within)


def modules() -> list[str]:
    return sorted(str(file.relative_to(PACKAGE)) for room in ROOMS for file in (PACKAGE / room).rglob("*.py"))


def test_every_module_that_touches_files_is_known_for_it_and_no_other_is() -> None:
    found = {module: {call for call, _ in touching(module)} - {OTHERS.get(module)} for module in modules()}
    assert {module for module, calls in found.items() if calls} == {*ASIDE, *NO_LOOP}


def test_no_function_that_awaits_touches_one() -> None:
    awaiting = [(module, call) for module in modules() for call, awaits in touching(module) if awaits]
    known = [*OTHERS.items(), ("evidence/sources/stdin.py", "os.fstat"), ("evidence/sources/stdin.py", "os.pread")]
    assert [one for one in awaiting if one not in known] == []


def test_what_it_looks_for() -> None:
    code = "async def a(x):\n    x.read_text()\n    return lambda: os.stat(x)\ndef b(x): ssl.create_default_context(x)"
    assert list(_within(ast.parse(code), awaits=False)) == [
        ("x.read_text", True),
        ("os.stat", False),
        ("ssl.create_default_context", False),
    ]
