"""A cluster whose one pod logs what is written into files; its kubeconfig is written into a folder.

python -m tests.kubernetes FOLDER BREAK FILE...     until it is ended; streams break every BREAK seconds, 0 for never

SIGUSR1 kills the API server and SIGUSR2 starts it again; the pod logs on meanwhile.

Other objects are read from `objects.json` in the folder, if it is there: {"nodes": [...], "services": [...], ...}
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.evidence.sources.scripted_loki import words
from tests.kubernetes.api import KubernetesApi, serving
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.objects import with_objects

POLL = 0.01


async def main(folder: str, every: str, *files: str) -> None:
    cluster = Cluster()
    objects = Path(folder) / "objects.json"
    if objects.exists():
        with_objects(cluster, **json.loads(objects.read_text()))
    pod = cluster.add()
    followed = [Path(name).open("rb") for name in files]  # noqa: SIM115, ASYNC230 - until the end
    for file in followed:
        file.seek(0, 2)
    loop = asyncio.get_running_loop()
    due = loop.time() + float(every)
    async with serving(cluster) as api:
        down_and_up = asyncio.create_task(_down_and_up(api))
        print(api.kubeconfig(Path(folder)), flush=True)
        while True:
            for file in followed:
                while (line := file.readline()).endswith(b"\n"):
                    cluster.log(pod, line.removesuffix(b"\n"))
                file.seek(-len(line), 1)
            if float(every) and loop.time() >= due:
                due += float(every)
                api.break_off()
            if down_and_up.done():
                down_and_up.result()
            await asyncio.sleep(POLL)


async def _down_and_up(api: KubernetesApi) -> None:
    async for word in words(signal.SIGUSR1, signal.SIGUSR2):
        await (api.stop() if word is signal.SIGUSR1 else api.start())
        print(word.name, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
