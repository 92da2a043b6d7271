"""The history room: what the daemon wrote down, in one SQLite file that survives kill -9, and reads back.

history.py is what the daemon and its pages see; writer.py the task that writes; file.py one open file; stands.py how
endpoints stand by what the ledger told; backlog.py what waits; rows.py values as rows; schema.py the tables; place.py
directory, lock and broken files; faults.py what may be wrong.
What is kept where, how long and how big: docs/history.md.
"""

from probe.service.history.history import History
from probe.service.history.patience import Patience

__all__ = ["History", "Patience"]
