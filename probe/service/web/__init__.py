"""The daemon's web server: status page, metrics, `/probe`, API. `Web` is all that others need; app.py has the table."""

from probe.service.web.app import Web
from probe.service.web.front_door import CannotListen

__all__ = ["CannotListen", "Web"]
