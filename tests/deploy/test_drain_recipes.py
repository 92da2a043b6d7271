"""The recipes of docs/watch.md and docs/drains.md that wait for a baseline, pasted at a prompt as they stand there, but
faster. At a prompt a background job leads its group, which is not so in a script.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from probe.demo.scenes import Scene
from probe.demo.world import DemoWorld, demo_world
from tests.deploy.chart import REPOSITORY
from tests.service.running import until

CALM = {"schedule": {"interval": "1s", "jitter": "0%", "max_sessions_per_minute": 60}}
PATIENCE = 60.0
PROBE = f'#!/bin/sh\nexec "{sys.executable}" -m probe "$@"\n'
KUBECTL = "#!/bin/sh\nprintf '%s\\n' \"$*\" >>asked\nwhile [ ! -e done ]; do sleep 0.05; done\n"


def pasted(page: str, with_text: str) -> str:
    """The block of this page that watches and has this text; a minute of it is three seconds, a turn a tenth."""
    blocks = re.findall(r"^```\n(.*?)^```", (REPOSITORY / "docs" / page).read_text(encoding="utf-8"), re.M | re.S)
    found: str
    (found,) = [block for block in blocks if "the change may begin" in block and with_text in block]
    return found.replace("--until-stable 60", "--until-stable 3").replace("sleep 1;", "sleep 0.1;")


def recipe(page: str, with_text: str) -> str:
    """The script that it writes."""
    (script,) = re.findall(r"<<'END'\n(.*?^)END\nsh \S+\n\Z", pasted(page, with_text), re.M | re.S)
    return str(script)


def furnished(folder: Path, world: DemoWorld) -> Path:
    """A directory with both programs and a configuration."""
    folder.mkdir()
    for name, text in (("probe", PROBE), ("kubectl", KUBECTL)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    content = {**world.config(), **CALM, "history": {"file": str(folder / "history.db")}}
    (folder / "mailprobe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


@dataclass
class Typed:
    """A shell that shows a prompt, and what is typed there."""

    shell: asyncio.subprocess.Process
    keyboard: int

    async def ended(self) -> tuple[int, str]:
        """The exit code of what was typed, and what it said."""
        async with asyncio.timeout(PATIENCE):
            said, _ = await self.shell.communicate()
        os.close(self.keyboard)
        assert self.shell.returncode is not None
        return self.shell.returncode, said.decode()


async def begin(block: str, folder: Path) -> Typed:
    ours, theirs = pty.openpty()
    shell = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", "bash", "--norc", "--noediting", "-i"),
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(theirs)
    os.write(ours, f"{block}exit\n".encode())
    return Typed(shell, ours)


async def changed(world: DemoWorld, typed: Typed, folder: Path, *scenes: Scene) -> tuple[int, str]:
    """The same, once kubectl was called and these scenes, of a second each, have passed before it."""
    await until((folder / "asked").exists, "kubectl", PATIENCE)
    for scene in scenes:
        await world.change_to(scene)
        await asyncio.sleep(1)
    (folder / "done").touch()
    return await typed.ended()


async def test_a_policy_is_flipped_and_a_node_drained_by_the_recipes(tmp_path: Path) -> None:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        await world.change_to(Scene.BEHIND_NODE)
        flip = furnished(tmp_path / "flip", world)
        typed = await begin(pasted("drains.md", "kubectl -n mailserver patch"), flip)
        code, said = await changed(world, typed, flip, Scene.STRAIGHT)
        assert code == 0, said
        assert re.search(r"masked by node \([^)]+\) → preserved", said), said
        assert (flip / "policy.html").stat().st_size
        assert '{"spec": {"externalTrafficPolicy": "Local"}}' in (flip / "asked").read_text()

        drain = furnished(tmp_path / "drain", world)
        typed = await begin(pasted("watch.md", "kubectl drain"), drain)
        code, said = await changed(world, typed, drain, Scene.SILENT, Scene.STRAIGHT)
        assert code == 0, said
        assert "which is tolerated, and all are back" in said

        await world.change_to(Scene.SILENT)
        refused = furnished(tmp_path / "refused", world)
        code, said = await (await begin(pasted("watch.md", "kubectl drain"), refused)).ended()
        assert (code, (refused / "asked").exists()) == (2, False), said
        assert re.search(r"refuses to watch what is broken .*\n.*\nnothing was touched", said), said
