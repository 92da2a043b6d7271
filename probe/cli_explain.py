"""What `probe explain` does with a configuration, and how it tells what it found."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probe.evidence.whose import Names
from probe.model import Address, Explained
from probe.service.names import names_of
from probe.settings import ConfigurationError, ConfigurationNotFound, find_config, load

if TYPE_CHECKING:
    from rich.console import Console


def named_by(config: Path | None, notice: Callable[[str], None]) -> tuple[Names, dict[Address, str]]:
    """Whose addresses are whose, and what nodes are called: by the configuration where there is a sound one.

    Only a file that was asked for has to be there and sound.
    """
    asked_for = config is not None or bool(os.environ.get("MAILPROBE_CONFIG"))
    try:
        chosen = find_config(config, environment=os.environ, cwd=Path.cwd(), notice=notice)
        settings = load(chosen, environment=os.environ, hostname=socket.gethostname())
    except ConfigurationNotFound as error:
        if asked_for:
            raise click.ClickException(str(error)) from error
        return Names(), {}
    except ConfigurationError as error:
        if asked_for:
            raise click.ClickException(str(error)) from error
        click.echo(f"warning: goes on without a configuration, for it has faults: {error}", err=True)
        return Names(), {}
    return names_of(settings)


def tell(explained: Explained, form: str, console_made: Callable[[], Console]) -> None:
    """The findings, on standard output."""
    if form == "json":
        from probe.report import explained_json  # noqa: PLC0415 - the other form loads a terminal library

        click.echo(explained_json.render(explained))
        return
    from probe.report import explained_table  # noqa: PLC0415 - see above

    console = console_made()
    with console.capture() as drawn:
        explained_table.render(explained, console)
    click.echo(drawn.get(), nl=False)
