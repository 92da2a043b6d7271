"""mailprobe: prove whether the client's real address survives the way into a mail server."""

__version__ = "0.1.0"
