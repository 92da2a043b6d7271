"""The recipes of docs/watch.md and docs/drains.md that wait for a baseline, run as they stand there, but faster."""

from __future__ import annotations

import asyncio
import os
import re
import sys
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


def recipe(page: str, with_text: str) -> str:
    """The block of this page that watches and has this text; a minute of it is three seconds, a turn a tenth."""
    blocks = re.findall(r"^```\n(.*?)^```", (REPOSITORY / "docs" / page).read_text(encoding="utf-8"), re.M | re.S)
    found: str
    (found,) = [block for block in blocks if "the change may begin" in block and with_text in block]
    return found.replace("--until-stable 60", "--until-stable 3").replace("sleep 1;", "sleep 0.1;")


def furnished(folder: Path, world: DemoWorld) -> Path:
    """A directory with both programs and a configuration."""
    folder.mkdir()
    for name, text in (("probe", PROBE), ("kubectl", KUBECTL)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    content = {**world.config(), **CALM, "history": {"file": str(folder / "history.db")}}
    (folder / "mailprobe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


async def begin(script: str, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("sh", "-c", script),
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def ended(script: asyncio.subprocess.Process) -> tuple[int, str]:
    """Its exit code and what it said."""
    async with asyncio.timeout(PATIENCE):
        said, _ = await script.communicate()
    assert script.returncode is not None
    return script.returncode, said.decode()


async def changed(
    world: DemoWorld, script: asyncio.subprocess.Process, folder: Path, *scenes: Scene
) -> tuple[int, str]:
    """The same, once kubectl was called and these scenes, of a second each, have passed before it."""
    await until((folder / "asked").exists, "kubectl", PATIENCE)
    for scene in scenes:
        await world.change_to(scene)
        await asyncio.sleep(1)
    (folder / "done").touch()
    return await ended(script)


async def test_a_policy_is_flipped_and_a_node_drained_by_the_recipes(tmp_path: Path) -> None:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        await world.change_to(Scene.BEHIND_NODE)
        flip = furnished(tmp_path / "flip", world)
        script = await begin(recipe("drains.md", "kubectl -n mailserver patch"), flip)
        code, said = await changed(world, script, flip, Scene.STRAIGHT)
        assert code == 0, said
        assert re.search(r"masked by node \([^)]+\) → preserved", said), said
        assert (flip / "policy.html").stat().st_size
        assert '{"spec": {"externalTrafficPolicy": "Local"}}' in (flip / "asked").read_text()

        drain = furnished(tmp_path / "drain", world)
        script = await begin(recipe("watch.md", "kubectl drain"), drain)
        code, said = await changed(world, script, drain, Scene.SILENT, Scene.STRAIGHT)
        assert code == 0, said
        assert "which is tolerated, and all are back" in said

        await world.change_to(Scene.SILENT)
        refused = furnished(tmp_path / "refused", world)
        script = await begin(recipe("watch.md", "kubectl drain"), refused)
        (refused / "done").touch()  # kubectl uncordon does not hang
        code, said = await ended(script)
        assert (code, (refused / "asked").read_text()) == (1, "uncordon node1\n"), said
