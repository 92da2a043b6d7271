"""The command as a user types it: output, standard error and exit codes, in a process of its own.

Where a shell is not part of what is shown, it is one that was loaded before (tests/loaded.py).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import yaml

import probe
from probe.cli import kept_to_the_end
from probe.demo.door import Arrival
from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, DemoWorld, demo_world
from probe.model import Service
from tests.loaded import shared

PROBE = [sys.executable, "-m", "probe"]
REPOSITORY = Path(__file__).parent.parent
SETTINGS: dict[str, Any] = {
    "paths": [{"name": "vip", "host": "127.0.0.1", "endpoints": [{"service": "smtp", "port": 1}]}],
    "evidence": {"sources": [{"kind": "file", "path": "/nonexistent/mail.log"}]},
}


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    surroundings = {key: value for key, value in os.environ.items() if key != "MAILPROBE_CONFIG"}
    return shared().run(*arguments, cwd=cwd, environment={**surroundings, **environment})


@asynccontextmanager
async def waiting_for_a_greeting(world: DemoWorld, line: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A shell in which the command has reached a server that says nothing; whatever is left of them is killed."""
    reached = asyncio.Event()

    async def silent(arrival: Arrival) -> None:
        if str(arrival.client.address) == CLIENT:
            reached.set()
        await asyncio.get_running_loop().sock_recv(arrival.sock, 1)

    await world.junctions[Service.SMTP].lead(silent)
    command = line.format(f"{' '.join(PROBE)} --config {world.config_file} --once")
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", command, cwd=REPOSITORY, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    try:
        await reached.wait()
        yield shell
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        await shell.communicate()


def run_in_shell(arguments: str, cwd: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    line = f"{before} {' '.join(PROBE)} {arguments}"
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=60, check=False
    )


async def run_beside(world: DemoWorld, *arguments: str) -> tuple[int, str, str]:
    """Run the command while the world in this process goes on serving."""
    done = await asyncio.to_thread(run, "--config", str(world.config_file), *arguments, cwd=REPOSITORY)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        yield world


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump(SETTINGS))
    return tmp_path


class TestOnce:
    async def test_all_is_well(self, world: DemoWorld) -> None:
        code, out, err = await run_beside(world, "--once")
        assert (code, err) == (0, "")
        assert out.count("✓ preserved") == 4
        assert out.rstrip().splitlines()[-1].startswith("OK: 4 of 4 preserved")

    async def test_json_alone_on_standard_output(self, world: DemoWorld) -> None:
        await world.change_to(Scene.BEHIND_NODE)
        code, out, err = await run_beside(world, "--once", "--format", "json")
        told = json.loads(out)
        assert (code, err) == (2, "")
        assert (told["status"], told["exit_code"]) == ("critical", 2)
        assert {(s["service"], s["verdict"], s["masked_by"]) for s in told["sessions"]} == {
            (service, "masked", "node") for service in ("smtp", "submission", "submissions", "imaps")
        }
        assert {s["sightings"][0]["address"] for s in told["sessions"]} == {"127.0.20.102"}

    async def test_nagios(self, world: DemoWorld) -> None:
        code, out, _ = await run_beside(world, "--once", "--format", "nagios")
        assert code == 0
        assert out.startswith("MAILPROBE OK - 4 of 4 preserved | 'vip/smtp'=")

    async def test_wait_ends_as_soon_as_all_is_well(self, world: DemoWorld) -> None:
        tried = asyncio.Event()

        async def turned_away(arrival: Arrival) -> None:
            if str(arrival.client.address) == CLIENT:
                arrival.sock.close()
                tried.set()

        await world.junctions[Service.SMTP].lead(turned_away)
        waiting = asyncio.create_task(run_beside(world, "--once", "--wait", "45", "--format", "nagios"))
        await tried.wait()
        await world.change_to(Scene.STRAIGHT)
        code, out, err = await waiting
        waits = err.splitlines()
        assert waits
        assert all(re.fullmatch(r"probe: waiting for (vip/[\w:]+ \(\w+\)(, )?)+; \d+ s left", one) for one in waits), (
            err
        )
        assert (code, out.split(" - ")[0]) == (0, "MAILPROBE OK")

    @pytest.mark.parametrize(
        ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
    )
    async def test_ended_from_outside(self, world: DemoWorld, number: int, code: int, said: str) -> None:
        """It ends at once, and a session under way says QUIT."""
        reached, heard = asyncio.Event(), bytearray()

        async def slow(arrival: Arrival) -> None:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(arrival.sock, b"220 mail.demo.test ESMTP\r\n")
            is_ours = str(arrival.client.address) == CLIENT
            while octets := await loop.sock_recv(arrival.sock, 1000):
                if is_ours:
                    heard.extend(octets)
                    reached.set()

        await world.junctions[Service.SMTP].lead(slow)
        command = [*PROBE, "--config", str(world.config_file), "--once"]
        child = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=PIPE, stderr=PIPE)
        await reached.wait()
        child.send_signal(number)
        out, err = await asyncio.wait_for(child.communicate(), 10)
        assert (child.returncode, out, err.decode().strip()) == (code, b"", said)
        assert bytes(heard).endswith(b"QUIT\r\n")

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
    async def test_ended_as_a_scripts_background_job(self, world: DemoWorld, number: int, code: int) -> None:
        """A shell without job control starts it with SIGINT ignored; Ctrl-C is not for it, SIGTERM is."""
        async with waiting_for_a_greeting(world, "{} & echo $!; wait $!; exit $?") as shell:
            assert shell.stdout is not None
            child = int(await shell.stdout.readline())
            os.kill(child, signal.SIGINT)
            os.kill(child, number)
            _, err = await asyncio.wait_for(shell.communicate(), 10)
        assert (shell.returncode, err.decode().strip()) == (code, "terminated")

    @pytest.mark.parametrize(
        ("what", "number", "code"),
        [
            ("run", signal.SIGHUP, 64),
            ("run", signal.SIGTERM, 0),
            ("run", signal.SIGINT, 0),
            ("--once", signal.SIGHUP, 129),
            ("--once", signal.SIGTERM, 143),
        ],
    )
    def test_a_signal_while_the_command_is_still_imported(
        self, tmp_path: Path, what: str, number: int, code: int
    ) -> None:
        """On SIGHUP `run` reads its configuration after that anyway; here it finds none."""
        sent = f"signal.raise_signal({number}) if event == 'import' and args[0] == 'probe.aside' else None"
        child = f"import probe.cli, signal, sys; sys.addaudithook(lambda event, args: {sent}); probe.cli.main()"
        command = [sys.executable, "-c", child, "--config", "none.yaml", what]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr

    async def test_nohup_is_respected(self, world: DemoWorld) -> None:
        async with waiting_for_a_greeting(world, "trap '' HUP; exec {}") as child:
            child.send_signal(signal.SIGHUP)
            child.send_signal(signal.SIGTERM)
            await asyncio.wait_for(child.communicate(), 10)
        assert child.returncode == 143

    def test_refused_is_critical_and_waits_for_no_log(self, configured: Path) -> None:
        done = run("--once", "--format", "json", cwd=configured)
        told = json.loads(done.stdout)
        assert done.returncode == 2
        assert [s["verdict"] for s in told["sessions"]] == ["refused"]
        assert told["seconds"] < 5

    @pytest.mark.parametrize("form", ["table", "json", "nagios"])
    @pytest.mark.parametrize("out", ["| true", ">&-", "2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"])
    def test_the_exit_code_survives_a_lost_output(self, configured: Path, form: str, out: str) -> None:
        done = run_in_shell(f"--once --format {form} {out}; exit ${{PIPESTATUS[0]}}", cwd=configured)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)

    def test_a_full_disk_is_said(self, configured: Path) -> None:
        done = run_in_shell("--once >/dev/full", cwd=configured)
        assert "probe: the result could not be written: No space left on device" in done.stderr

    def test_a_terminal_that_does_not_know_our_marks(self, configured: Path) -> None:
        done = run_in_shell("--once", cwd=configured, before="PYTHONIOENCODING=latin-1")
        assert (done.returncode, "? refused" in done.stdout) == (2, True)

    def test_a_log_that_does_not_exist_is_said(self, configured: Path) -> None:
        done = run("--once", "--format", "json", cwd=configured)
        assert "/nonexistent/mail.log" in done.stderr
        assert "does not exist yet" in done.stderr

    async def test_unverified_is_unknown(self, world: DemoWorld, tmp_path: Path) -> None:
        settings = world.config()
        settings["evidence"] = {"sources": [{"kind": "file", "path": str(tmp_path / "other.log")}]}
        settings["timeouts"] = {"evidence": "50s"}
        (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump(settings))
        done = await asyncio.to_thread(run, "--once", "--format", "json", cwd=tmp_path)
        told = json.loads(done.stdout)
        assert (done.returncode, told["status"]) == (3, "unknown")
        assert {s["verdict"] for s in told["sessions"]} == {"unverified"}
        lacks = f"{tmp_path}/other.log does not exist yet; waiting for it: check the path and where the server logs"
        for session in told["sessions"]:
            assert (
                session["explanation"].partition(": ")[2].startswith(f"file:{tmp_path}/other.log is not up ({lacks})")
            )
            assert session["hint"] == f"Mend this first: {lacks}."
        assert told["seconds"] < 25, "nobody can tell of the sessions: to wait for it is in vain"


class TestUsage:
    def test_version(self, tmp_path: Path) -> None:
        done = run_in_shell("--version", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"probe {probe.__version__}\n")

    def test_version_loads_nothing_that_only_once_needs(self, tmp_path: Path) -> None:
        heavy = {"pydantic", "rich", "aiosmtplib", "asyncio", "yaml"}
        code = f"import sys, probe.cli; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_a_round_loads_nothing_that_it_does_not_use(self, tmp_path: Path) -> None:
        (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump({"paths": SETTINGS["paths"]}))
        code = (
            "import gc, sys\nfrom probe.cli import command\n"
            "command.main(['--once', '--format', 'json'], standalone_mode=False)\n"
            "print({name.partition('.')[0] for name in sys.modules}, gc.isenabled(), file=sys.stderr)"
        )
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        program = [sys.executable, "-c", code]
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        loaded, _, collecting = done.stderr.strip().rpartition(" ")
        used = {"pydantic", "aiosmtplib", "aioimaplib"}
        unused = {"rich", "structlog", "aiohttp", "lightkube", "proxyprotocol", "aiosmtpd"}
        assert set(re.findall(r"'(\w+)'", loaded)) & (used | unused) == used
        assert collecting == "True", "what a round leaves behind must be collected"

    def test_garbage_is_collected_again_where_a_start_fails(self) -> None:
        collecting = []
        with suppress(LookupError), kept_to_the_end():
            collecting.append(gc.isenabled())
            raise LookupError
        kept = gc.get_freeze_count()
        gc.unfreeze()
        assert (collecting, gc.isenabled(), kept > 0) == ([False], True, True)

    @pytest.mark.parametrize("out", ["| true", ">/dev/full", "2>/dev/full >/dev/full"])
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("--version", 0),
            ("--help", 0),
            ("schema", 0),
            ("check-config", 0),
            ("check-config --config nope", 64),
            ("--once --bogus", 64),
            ("", 64),
        ],
    )
    def test_the_exit_code_survives_a_lost_output(self, configured: Path, arguments: str, code: int, out: str) -> None:
        done = run_in_shell(f"{arguments} {out}; exit ${{PIPESTATUS[0]}}", cwd=configured)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)

    def test_no_command_prints_the_help(self, tmp_path: Path) -> None:
        done = run(cwd=tmp_path)
        assert (done.returncode, "--once" in done.stdout) == (64, True)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--once", "--path", "vpi"], "unknown path 'vpi'; the configuration has: vip"),
            (["--once", "--format", "xml"], "'xml'"),
            (["--once", "--wait", "-1"], "-1"),
            (["--once", "--wait", "nan"], "seconds"),
            (["--once", "--nonsense"], "--nonsense"),
            (["nonsense"], "nonsense"),
            (["--once", "check-config"], "exclude each other"),
            (["--wait", "5"], "--wait goes with --once"),
            (
                ["--path", "vip", "check-config"],
                "--path goes with --once; options of check-config stand",
            ),
            (["--once", "--config", "nowhere.yaml"], "nowhere.yaml"),
        ],
    )
    def test_wrong_usage_is_64_and_says_why(self, configured: Path, arguments: list[str], said: str) -> None:
        done = run(*arguments, cwd=configured)
        assert (done.returncode, done.stdout) == (64, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr

    def test_without_a_configuration_it_says_where_it_looked(self, tmp_path: Path) -> None:
        done = run("--once", cwd=tmp_path)
        assert done.returncode == 64
        assert "mailprobe.yaml" in done.stderr
        assert "/etc/mailprobe/mailprobe.yaml" in done.stderr

    def test_the_environment_names_the_configuration(
        self, configured: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        done = run("check-config", cwd=elsewhere, MAILPROBE_CONFIG=str(configured / "mailprobe.yaml"))
        checked = configured / "mailprobe.yaml"
        assert (done.returncode, done.stdout) == (0, f"ok: {checked}: 1 path, 1 endpoint, 1 log source\n")


class TestCheckConfig:
    def test_all_faults_at_once(self, tmp_path: Path) -> None:
        broken = {
            "paths": [{"name": "vip", "host": "", "endpoints": [{"service": "smpt"}, {"service": "imaps", "port": 0}]}],
            "tiemouts": {},
        }
        (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump(broken))
        done = run("check-config", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (64, "")
        for place in ("paths[0].host", "paths[0].endpoints[0].service", "paths[0].endpoints[1].port", "tiemouts"):
            assert place in done.stderr

    def test_a_missing_password_file_stops_with_its_name(self, tmp_path: Path) -> None:
        login = {"username": "probe@example.org", "password_file": "/nonexistent/pw"}
        settings = {
            "paths": [{"name": "vip", "host": "127.0.0.1", "endpoints": [{"service": "imaps", "login": login}]}]
        }
        (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump(settings))
        for arguments in (["check-config"], ["--once"]):
            done = run(*arguments, cwd=tmp_path)
            assert done.returncode == 64
            assert "/nonexistent/pw" in done.stderr

    def test_a_ca_file_that_vanished_is_said(self, tmp_path: Path) -> None:
        settings = {**SETTINGS, "paths": [{**SETTINGS["paths"][0], "tls": {"ca_file": "/nonexistent/ca.pem"}}]}
        (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump(settings))
        done = run("--once", cwd=tmp_path)
        assert (done.returncode, "/nonexistent/ca.pem" in done.stderr) == (64, True)

    @pytest.mark.parametrize(
        ("web", "code", "said"),
        [
            ("tls_server_config: {cert_file: c.pem, key_file: k.pem, min_version: TLS10}", 64, "c.pem: No such file"),
            ("http_server_config: {http2: true}", 0, ""),
            ("tls: {}", 64, "line 1, tls: found an unknown key"),
            (None, 64, "found No such file or directory, expected a readable file"),
        ],
    )
    def test_the_web_config_is_read_too(self, tmp_path: Path, web: str | None, code: int, said: str) -> None:
        if web is not None:
            (tmp_path / "web.yaml").write_text(web)
        config = tmp_path / "mailprobe.yaml"
        config.write_text(yaml.safe_dump({**SETTINGS, "web": {"config_file": str(tmp_path / "web.yaml")}}))
        done = run("check-config", cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (code, True)

    def test_the_example_is_sound(self, tmp_path: Path) -> None:
        done = run("check-config", "--config", str(REPOSITORY / "mailprobe.example.yaml"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert re.match(r"ok: .*/mailprobe\.example\.yaml: \d+ paths?, \d+ endpoints", done.stdout)

    def test_schema_is_json(self, tmp_path: Path) -> None:
        done = run("schema", cwd=tmp_path)
        assert done.returncode == 0
        assert json.loads(done.stdout)["$schema"].endswith("2020-12/schema")
