"""The command `probe`: the one place where arguments, environment and terminal meet the rest.

Exit codes are those of monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown; 64 usage or configuration
(EX_USAGE of sysexits.h). Results go to standard output, logs and progress to standard error.

Imports stand inside the commands: `probe --version` must not load what only `--once` needs.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

import probe
from probe.cli_watch_options import asked_for, watch_options
from probe.streams import leave, open_streams

if TYPE_CHECKING:
    from rich.console import Console

    from probe.model import Round
    from probe.service.metrics.outlets import Outlets
    from probe.settings import Settings

PIPED_WIDTH = 1000
UNKNOWN = 3
USAGE = 64
INTERRUPTED = 130
TERMINATING: dict[int, int] = {signal.SIGTERM: 143, signal.SIGHUP: 129}

ENDED_BY: list[int] = []
"""Signals of these that have come to this process, and that nobody has taken as a polite end."""

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; else $MAILPROBE_CONFIG, ./mailprobe.yaml, /etc/mailprobe/mailprobe.yaml.",
)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(probe.__version__, prog_name="probe", message="%(prog)s %(version)s")
@click.option("--once", "run_once", is_flag=True, help="One session per endpoint, then the verdicts and an exit code.")
@CONFIG
@click.option("--path", "paths", multiple=True, metavar="NAME", help="Only this path; may be repeated.")
@click.option("--format", "form", type=click.Choice(["table", "json", "nagios"]), default="table", show_default=True)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Repeat until ok or so long, at the pace of max_sessions_per_minute.",
)
@click.option(
    "--textfile",
    type=click.Path(path_type=Path),
    metavar="FILE.prom",
    help="Also write the metrics of the round for node_exporter's textfile collector.",
)
@click.option(
    "--push",
    metavar="URL",
    help="Also push them to this Pushgateway; 'http://USER:${VARIABLE}@HOST:9091' takes the password from a variable.",
)
@click.pass_context
def command(  # noqa: PLR0913 - one parameter per option of the contract
    context: click.Context,
    *,
    run_once: bool,
    config: Path | None,
    paths: tuple[str, ...],
    form: str,
    wait: float,
    textfile: Path | None,
    push: str | None,
) -> None:
    """Prove whether the client's real address survives the way into a mail server."""
    _expect_signals(context.invoked_subcommand)
    if run_once and context.invoked_subcommand is not None:
        raise click.UsageError(f"--once and {context.invoked_subcommand} exclude each other")
    if not run_once:
        _refuse_of_once(context)
    if context.invoked_subcommand is not None:
        context.obj = config
        return
    if not math.isfinite(wait):
        raise click.UsageError("--wait takes a number of seconds")
    if not run_once:
        click.echo(context.get_help())
        context.exit(USAGE)
    outlets = _outlets(textfile, push)
    done = _once(config, paths, wait)
    code = _told(done, form)
    if outlets is not None:
        for complaint in outlets.tell(done):
            _say(complaint)
    context.exit(code)


def _refuse_of_once(context: click.Context) -> None:
    """Options of --once would be without an effect; those of a command stand behind its name."""
    typed = click.core.ParameterSource.COMMANDLINE
    of_once = {one.name: one.opts[0] for one in context.command.params if one.name != "config"}
    given = [option for name, option in of_once.items() if name and context.get_parameter_source(name) is typed]
    if given:
        command = context.invoked_subcommand
        behind = f"; options of {command} stand behind its name" if command else ""
        raise click.UsageError(f"{given[0]} goes with --once{behind}")


def _outlets(textfile: Path | None, push: str | None) -> Outlets | None:
    if textfile is None and push is None:
        return None
    from probe.service.metrics.outlets import outlets

    try:
        return outlets(textfile, push, os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _say(words: str) -> None:
    """On standard error, if there is anybody to read it; the exit code stays the verdict's."""
    sys.stderr.write(f"probe: {words}\n")  # click's own stream would write into the lines of a progress display


def _once(config: Path | None, paths: tuple[str, ...], wait: float) -> Round:
    with kept_to_the_end():
        from probe import aside
        from probe.report.progress import shown_progress
        from probe.service.once import once
        from probe.service.outfit import UnusableCaFile

        settings = _settings(config)
    _check_paths(settings, paths)
    with shown_progress(sys.stderr) as progress:
        try:
            return aside.run(once(settings, paths, wait, progress, _say))
        except UnusableCaFile as error:
            raise click.ClickException(f"{error}") from error


@contextmanager
def kept_to_the_end() -> Iterator[None]:
    """What is made here stays: to look through it for garbage, now and at each later turn, is a sixth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _told(done: Round, form: str) -> int:
    _tell(done, form)
    return done.severity.exit_code


def _tell(done: Round, form: str) -> None:
    if form == "json":
        from probe.report import json

        click.echo(json.render(done))
    elif form == "nagios":
        from probe.report import nagios

        click.echo(nagios.render(done))
    else:
        from probe.report import table

        console = _console()
        with console.capture() as drawn:  # rich itself exits with 1 where a pipe is closed
            table.render(done, console)
        click.echo(drawn.get(), nl=False)


@command.command()
@CONFIG
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.pass_context
def explain(context: click.Context, *, config: Path | None, form: str, files: tuple[str, ...]) -> None:
    """Whose addresses do clients come from: read saved logs, or standard input, and conclude.

    Files may be compressed; `-` is standard input. A configuration is not needed: with one, its networks and nodes
    name the addresses.
    """
    from probe.cli_explain import named_by, tell
    from probe.report.reading import shown_reading
    from probe.service.explain import explain as explained
    from probe.service.saved_logs import STANDARD_INPUT, size_in_all

    names, called = named_by(config or context.obj, _say)
    logs = files or (STANDARD_INPUT,)
    if STANDARD_INPUT in logs and sys.stdin is not None and sys.stdin.isatty():
        click.echo("probe: reading standard input; Ctrl-D ends it, Ctrl-C too", err=True)
    with shown_reading(sys.stderr, size_in_all(logs)) as progress:
        done = explained(logs, names, called, now=time.time(), progress=progress)
    code = INTERRUPTED if done.reading.interrupted else done.severity.exit_code
    tell(done, form, _console)
    context.exit(code)


@command.command("check-config")
@CONFIG
@click.pass_context
def check_config(context: click.Context, config: Path | None) -> None:
    """Check the configuration: every fault with its path in the file and what was expected."""
    from probe.settings import targets

    chosen = _found(config or context.obj)
    settings = _settings(chosen)
    if settings.web.config_file is not None:
        _check_web_config(settings.web.config_file)
    counted = {
        "path": len(settings.paths),
        "endpoint": len(targets(settings)),
        "log source": len(settings.evidence.sources),
    }
    found = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counted.items())
    click.echo(f"ok: {click.format_filename(chosen)}: {found}")


def _check_web_config(file: Path) -> None:
    from probe.service.web.standing import sound
    from probe.settings import ConfigurationError

    try:
        warnings = sound(file).config.warnings
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    for warning in warnings:
        click.echo(f"warning: {click.format_filename(file)}: {warning}", err=True)


@command.command("run")
@CONFIG
@click.pass_context
def run_daemon(context: click.Context, config: Path | None) -> None:
    """Run the daemon: sessions on a schedule, metrics, pages. SIGHUP reads the configuration again."""
    from probe import aside
    from probe.service.outfit import UnusableCaFile
    from probe.service.reading import NothingComes
    from probe.service.run import run
    from probe.service.web import CannotListen
    from probe.settings import ConfigurationError

    chosen = _found(config or context.obj)
    try:
        aside.run(run(lambda: _loaded(chosen), os.environ))
    except (ConfigurationError, UnusableCaFile, NothingComes, CannotListen) as error:
        raise click.ClickException(f"{error}") from error


@command.command("watch")
@CONFIG
@watch_options
@click.pass_context
def watch(context: click.Context, /, *, config: Path | None, paths: tuple[str, ...], **asked: Any) -> None:
    """Watch a change, such as a drain: when each endpoint went and came back, to 0.1 s, and whose addresses it saw.

    Start it before the change; Ctrl-C ends it and reports. Exit code 0: no outage, or none longer than --max-outage,
    and all endpoints ok at the end.
    """
    told = asked_for(**asked)
    from probe.cli_watch import tell_behind, watch_and_tell

    voice = tell_behind(_console(), lambda: bool(ENDED_BY))
    settings = _settings(config or context.obj)
    _check_paths(settings, paths)
    context.exit(watch_and_tell(settings, paths, told, voice))


@command.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    import json

    from probe.settings import schema as settings_schema

    click.echo(json.dumps(settings_schema(), indent=2))


@command.command()
def demo() -> None:
    """Show the whole product on this machine alone: no root, no mail server, no configuration."""
    from probe import aside

    try:
        from probe.demo.show import show
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error}; the demo needs an extra: pip install '.[demo]' in the checkout"
        ) from error
    sys.exit(aside.run(show(_console())))


def _settings(config: Path | None) -> Settings:
    from probe.settings import ConfigurationError

    chosen = _found(config)
    try:
        settings = _loaded(chosen)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    for warning in settings.warnings:
        click.echo(f"warning: {chosen}: {warning}", err=True)
    return settings


def _found(config: Path | None) -> Path:
    from probe.settings import ConfigurationError, find_config

    try:
        return find_config(config, environment=os.environ, cwd=Path.cwd(), notice=_say)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error


def _loaded(chosen: Path) -> Settings:
    from probe.settings import load

    return load(chosen, environment=os.environ, hostname=socket.gethostname())


def _check_paths(settings: Settings, paths: tuple[str, ...]) -> None:
    known = [path.name for path in settings.paths]
    for name in paths:
        if name not in known:
            raise click.UsageError(f"unknown path {name!r}; the configuration has: {', '.join(known)}")


def _console() -> Console:
    from rich.console import Console

    # Into a pipe lines are as long as their text: whoever greps wants them whole.
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def main() -> None:
    """Run the command; every fault of usage or configuration exits 64 with its reason."""

    def terminate(number: int, frame: FrameType | None) -> None:
        # asyncio ends politely on SIGINT alone: sessions say QUIT, folders go.
        ENDED_BY.append(number)
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            interrupt(signal.SIGINT, frame)

    signal.pthread_sigmask(signal.SIG_BLOCK, TERMINATING)  # until it is known what they mean
    written = open_streams()
    _heed(terminate)
    try:
        code = command.main(prog_name="probe", standalone_mode=False)
        if code == INTERRUPTED and ENDED_BY:
            code = TERMINATING[ENDED_BY[0]]
    except click.ClickException as error:
        error.show()
        code = USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("terminated" if ENDED_BY else "interrupted", err=True)
        code = TERMINATING[ENDED_BY[0]] if ENDED_BY else INTERRUPTED
    except Exception:
        # Python's own exit code would be 1, which to a monitoring system is a mere warning.
        traceback.print_exc()
        click.echo("probe: this is a bug of mailprobe's own, and says nothing about the mail server", err=True)
        code = UNKNOWN
    sys.stdout.flush()
    if written.lost is not None and not isinstance(written.lost, BrokenPipeError):
        click.echo(f"probe: the result could not be written: {written.lost.strerror}", err=True)
    leave(code if isinstance(code, int) else 0)


def _expect_signals(command: str | None) -> None:
    """A daemon that is told to end has done well, from its first moment on; all else is broken off.

    SIGHUP has it read its configuration again, which it has yet to read once.
    """
    if command == "run":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINATING)


def _heed(terminate: Callable[[int, FrameType | None], None]) -> None:
    """End on signals, but for those that whoever started us wants ignored (`nohup`)."""
    for number in TERMINATING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, terminate)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a script's background job: deaf to Ctrl-C, but asyncio must have SIGINT's handler to end on the others.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
