"""The folder of bad configurations: each FILE.yaml has its message in FILE.txt.

`python tests/settings/bad_folder.py` writes the messages anew; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

from probe.settings import ConfigurationError, load

FOLDER = Path(__file__).parent / "bad"
SECRET = "hunter2-from-the-environment"
ENVIRONMENT = {"HERE": str(FOLDER), "SECRET": SECRET, "EMPTY": ""}


def message(file: Path) -> str:
    """What a person reads about this file, with its bare name."""
    try:
        settings = load(file, environment=ENVIRONMENT, hostname="host")
    except ConfigurationError as error:
        return str(error).replace(str(FOLDER), "").lstrip("/") + "\n"
    raise AssertionError(f"{file.name} loads: {settings}")


if __name__ == "__main__":
    for bad in sorted(FOLDER.glob("*.yaml")):
        bad.with_suffix(".txt").write_text(message(bad))
