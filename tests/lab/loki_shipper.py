"""Ships log files to Loki as shippers do: from their end on, each line stamped as it is read, a batch at a time.

python -m tests.lab.loki_shipper URL FILE...     until it is ended
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

BATCH_WAIT = 0.2
"""Seconds between two pushes; a second is what Promtail and Alloy wait."""


def main(url: str, *files: str) -> None:
    followed = {name: Path(name).open("rb") for name in files}  # noqa: SIM115 - until the end
    for file in followed.values():
        file.seek(0, 2)
    print("reading", flush=True)
    while True:
        streams: list[dict[str, object]] = []
        for name, file in followed.items():
            values = []
            while (line := file.readline()).endswith(b"\n"):
                values.append([str(time.time_ns()), line.decode("utf-8", "replace").rstrip("\n")])
            file.seek(-len(line), 1)
            if values:
                streams.append({"stream": {"namespace": "mailserver", "filename": name}, "values": values})
        while streams and not pushed(url, streams):
            time.sleep(BATCH_WAIT)
        time.sleep(BATCH_WAIT)


def pushed(url: str, streams: list[dict[str, object]]) -> bool:
    """Whether Loki took them; a Loki that is not there gets them again."""
    body = json.dumps({"streams": streams}).encode()
    request = urllib.request.Request(f"{url}/loki/api/v1/push", data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 204)
    except (urllib.error.URLError, ConnectionError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
