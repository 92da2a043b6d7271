"""The folder of good configurations and the environment they need."""

from __future__ import annotations

from pathlib import Path

from probe.settings import Settings, load

FOLDER = Path(__file__).parent / "good"
EXAMPLE = Path(__file__).parents[2] / "mailprobe.example.yaml"
FILES = (*sorted(FOLDER.glob("*.yaml")), EXAMPLE)
ENVIRONMENT = {
    "HERE": str(FOLDER),
    "NAME": "probe: {1}",
    "HOST": "mail.example.org",
    "PORT": "2587",
    "PASSWORD": "open: {sesame} ${NAME}",
    "VERIFY": "false",
    "INTERVAL": "5m",
    "HOME_OF_LOGS": "/var/log",
}


def loaded(name: str) -> Settings:
    """A good file as settings."""
    return load(FOLDER / f"{name}.yaml", environment=ENVIRONMENT, hostname="this-host")
