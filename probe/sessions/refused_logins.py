"""Logins that a server refused, and when each may be tried again: guards (fail2ban, CrowdSec) count refused ones.

    tried ──refused──▶ tried once more with the next session ──refused──▶ 150 s ──▶ 300 s ──▶ … ──▶ an hour
      ▲ taken: forgotten                                        meanwhile sessions go as far as the login, and end

Rules of this file:
- What is remembered is this endpoint's: one that was never refused is tried, whatever became of others. So nothing is
  called refused that may be taken.
- A ban is the server's: so all endpoints of one server together try again what was refused only as long as there are
  fewer than five tries in ten minutes, where fail2ban's own jails ban; and one of them at a time, for others may be
  refused for the first time meanwhile.
- A ban is of one address, and a server may see each path under another (IPv4 and IPv6, a node that masks): so a path
  on which a login was refused is not banned once that path let us in, and any other one once any did.
- A guard bans within a minute: whoever lets us in before that may still ban us for what it refused.
- That one tells a blip from a wrong password for all: where a login is taken that was refused, every endpoint of that
  server with the same user and password is as one that was never refused. One that never was refused frees nobody: two
  services may ask two user databases, and the other one would be asked each time.
- What is tried again counts from its beginning, and also where it comes to nothing: the server may have counted it.
- Only what the server said of these credentials counts, not that it could not check any.
- No password is kept: a hash tells whether it is still the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

from probe.model import Endpoint, EndpointName

FIRST_PAUSE, LONGEST_PAUSE = 150.0, 3600.0
"""Seconds between the second try and the third, and at most; each pause between them is twice the one before."""

MOST_DOUBLED = 5

MOST, WINDOW = 4, 630.0
"""Refused tries at one server in so many seconds: ten minutes, and what a try and its line in a log may take."""

BAN_TIME, SUSPECTED = 60.0, 7 * 86_400.0
"""Seconds after a refused login within which a guard bans, and how long a ban is thought of."""

KEPT_REPLY = 200

_Key = tuple[str, EndpointName]


@dataclass(kw_only=True, slots=True)
class _Refused:
    """The login of one endpoint: how often it was refused, when last and in which words, and when it is tried again."""

    login: int
    user: str
    count: int = 0
    last: float = 0.0
    reply: str = ""
    due: float = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next try, as often as it was refused."""
        if self.count == 1:
            return 0.0
        return min(FIRST_PAUSE * 2.0 ** min(self.count - 2, MOST_DOUBLED), LONGEST_PAUSE)


@dataclass(slots=True)
class _Server:
    """The latest tries of what it refused, by when they began; when the next may be; and when it refused last.

    `suspects`: paths on which it refused a login, and may ban us. `lets_in`: it has let us in on some path since.
    """

    tries: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))
    next_at: float = 0.0
    refused_at: float = -inf
    suspects: set[str] = field(default_factory=set)
    lets_in: bool = False

    @property
    def room_at(self) -> float:
        return self.tries[0] + WINDOW if len(self.tries) == MOST else 0.0

    def let_us_in(self, path: str, now: float) -> None:
        if now > self.refused_at + BAN_TIME:
            self.suspects.discard(path)
            self.lets_in = True


class RefusedLogins:
    """Of all endpoints of a process."""

    def __init__(self) -> None:
        self._logins: dict[_Key, _Refused] = {}
        self._servers: dict[str, _Server] = {}

    def begin_try(self, endpoint: Endpoint, now: float) -> str | None:
        """The login of this endpoint is tried from now on (None), unless it is to be left out: then this is why.

        Whoever asks has been let in as far as the login.
        """
        if (server := self._servers.get(endpoint.server)) is None:
            return None
        server.let_us_in(endpoint.path, now)
        known = self._logins.get(_key(endpoint))
        if known is None or known.login != hash(endpoint.login):
            return None
        due = max(known.due, server.room_at, server.next_at if known.due else 0.0)  # 0.0: a reload lets each try
        if now < due:
            times = "once" if known.count == 1 else f"{known.count} times"
            return (
                f"user {known.user} was refused {times}, last at {_clock(known.last)} ({known.reply}), and is tried "
                f"again at {_clock(due)} at the earliest"
            )
        server.tries.append(now)
        server.next_at = now + FIRST_PAUSE
        known.due = now + max(known.pause, FIRST_PAUSE)
        return None

    def refused(self, endpoint: Endpoint, reply: str, *, began: float, now: float) -> None:
        """The try that began then was refused with these words."""
        login, key = endpoint.login, _key(endpoint)
        if login is None:
            return
        known = self._logins.get(key)
        if known is None or known.login != hash(login):
            known = self._logins[key] = _Refused(login=hash(login), user=login.username)
        known.count += 1
        known.last, known.reply = now, reply[:KEPT_REPLY]
        known.due = now + known.pause
        server = self._servers.setdefault(endpoint.server, _Server())
        server.refused_at = now
        server.suspects.add(endpoint.path)
        server.lets_in = False
        if began not in server.tries:
            server.tries.append(began)

    def taken(self, endpoint: Endpoint) -> None:
        """The server let us in: this login is not refused any more."""
        if (server := self._servers.get(endpoint.server)) is None:
            return
        known = self._logins.pop(_key(endpoint), None)
        if known is None or known.login != hash(endpoint.login):
            return
        server.next_at = 0.0
        for key in [key for key, one in self._logins.items() if key[0] == endpoint.server and one.login == known.login]:
            del self._logins[key]

    def refused_at(self, endpoint: Endpoint, now: float) -> float | None:
        """When this server last refused a login of ours, where it may ban us for that on this path."""
        server = self._servers.get(endpoint.server)
        if server is None or now > server.refused_at + SUSPECTED:
            return None
        return None if server.lets_in and endpoint.path not in server.suspects else server.refused_at

    def again(self, endpoints: Sequence[Endpoint]) -> None:
        """There are these endpoints now, and somebody may have mended what was wrong: their next sessions may try."""
        known = [one for one in endpoints if one.login is not None]
        keys, servers = {_key(one) for one in known}, {one.server for one in known}
        self._logins = {key: one for key, one in self._logins.items() if key in keys}
        self._servers = {name: one for name, one in self._servers.items() if name in servers}
        for login in self._logins.values():
            login.due = 0.0
        for name, server in self._servers.items():
            server.suspects &= {one.path for one in known if one.server == name}
            server.tries.clear()
            server.next_at = 0.0


def _key(endpoint: Endpoint) -> _Key:
    return endpoint.server, endpoint.name


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S} UTC"
