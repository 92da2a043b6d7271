"""A greylisting policy service for Postfix: run as a program inside the pod.

Rule 1: who comes for the first time, as (address, sender without extension, recipient), is put off; as postgrey does.
Rule 2: the same that comes again after DELAY seconds is let in, and once let in is let in for ever.
Rule 3: standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time

PUT_OFF = "action=DEFER_IF_PERMIT 4.2.0 Greylisted, see you later\n\n"
LET_IN = "action=DUNNO\n\n"


async def serve(port: int, delay: float) -> None:
    """Answer until somebody ends us."""
    first_seen: dict[tuple[str, ...], float] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await request(reader):
            sender = re.sub(r"\+.*@", "@", asked.get("sender", ""))
            triplet = (asked.get("client_address", ""), sender, asked.get("recipient", ""))
            since = time.monotonic() - first_seen.setdefault(triplet, time.monotonic())
            writer.write((LET_IN if since >= delay else PUT_OFF).encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def request(reader: asyncio.StreamReader) -> dict[str, str]:
    """The attributes of one question; empty at the end of the connection."""
    asked = {}
    while line := (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
        name, _, value = line.partition("=")
        asked[name] = value
    return asked


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
