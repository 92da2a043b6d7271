"""A cluster whose one pod logs what is written into files; its kubeconfig is written into a folder.

python -m tests.kubernetes FOLDER BREAK FILE...     until it is ended; streams break every BREAK seconds, 0 for never

Other objects are read from `objects.json` in the folder, if it is there: {"nodes": [...], "services": [...], ...}
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.kubernetes.api import serving
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
        print(api.kubeconfig(Path(folder)), flush=True)
        while True:
            for file in followed:
                while (line := file.readline()).endswith(b"\n"):
                    cluster.log(pod, line.removesuffix(b"\n"))
                file.seek(-len(line), 1)
            if float(every) and loop.time() >= due:
                due += float(every)
                api.break_off()
            await asyncio.sleep(POLL)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
