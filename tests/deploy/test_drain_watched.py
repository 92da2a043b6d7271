"""The drain script with the real probe, beside the demo's world: the way is silent amid a drain."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import yaml

from probe.demo.scenes import Scene
from probe.demo.world import DemoWorld, demo_world
from tests.service.running import BRISK, until

SCRIPT = Path(__file__).parents[2] / "deploy/drain.sh"
PATIENCE = 60.0
PROBE = f'#!/bin/sh\nexec "{sys.executable}" -m probe "$@"\n'
KUBECTL = "#!/bin/sh\n[ $1 = drain ] || exit 0\n: >begun\nwhile [ ! -e over ]; do sleep 0.05; done\n"


async def begin(world: DemoWorld, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    for name, text in (("probe", PROBE), ("kubectl", KUBECTL)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    content = {**world.config(), **BRISK, "history": {"file": str(folder / "history.db")}}
    (folder / "mailprobe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with (folder / "said").open("wb") as said:
        return await asyncio.create_subprocess_exec(
            *("sh", str(SCRIPT), "--stable", "1", *arguments, "node1"),
            cwd=folder,
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(SCRIPT.parents[1])},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


async def test_what_comes_amid_a_drain_is_seen_and_what_is_too_long_stops_it(tmp_path: Path) -> None:
    def said() -> str:
        return (tmp_path / "said").read_text(encoding="utf-8")

    async with demo_world() as world:
        script = await begin(world, tmp_path, "--max-outage", "30")
        await until((tmp_path / "begun").exists, "the drain", PATIENCE)
        await until(lambda: "the change may begin" in said(), "the line that it waited for", PATIENCE)
        await world.change_to(Scene.SILENT)
        await until(lambda: " went " in said(), "a gap", PATIENCE)
        await world.change_to(Scene.STRAIGHT)
        (tmp_path / "over").touch()
        async with asyncio.timeout(PATIENCE):
            assert await script.wait() == 0, said()
        assert " came back " in said()
        assert re.search("process [0-9]+ has ended: from now on --until-stable counts", said())
        assert "node1 is drained; the watch ended with 0, and probe says 0" in said()
        assert (tmp_path / "drain-node1-1.html").stat().st_size > 0

        for name in ("begun", "over"):
            (tmp_path / name).unlink()
        script = await begin(world, tmp_path, "--max-outage", "1")
        await until((tmp_path / "begun").exists, "the drain", PATIENCE)
        await world.change_to(Scene.SILENT)
        async with asyncio.timeout(PATIENCE):
            assert await script.wait() == 2, said()
        assert "kubectl uncordon node1 gives the node back" in said()
