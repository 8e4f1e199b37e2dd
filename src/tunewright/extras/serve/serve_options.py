"""How a front is served: what a person may choose, checked together."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tunewright.errors import error
from tunewright.extras.serve.api_key import read_key

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORT = 8000
SLOTS = 8
IDLE_SECONDS = 900.0
REQUEST_SECONDS = 600.0
MIN_CONTEXT = 2048


@dataclass(frozen=True)
class ServeOptions:
    """Where it is served, to whom, and how much at once."""

    host: str = "127.0.0.1"
    port: int = PORT
    """Any free one for 0."""
    api_key_file: Path | None = None
    """A file with the key that requests must bring, made if there is none."""
    cors: tuple[str, ...] = ()
    """Origins of pages whose scripts may ask."""
    slots: int = SLOTS
    """How many requests llama.cpp answers at once."""
    idle_seconds: float = IDLE_SECONDS
    """After how long without a request the model's memory is given back, until the next one; never for 0."""
    with_system: bool = False
    """Whether the system turn that all training rows began with is put before a conversation without one."""

    def refuse_unsafe(self) -> None:
        """Raises: ExportError E643 for a host that others reach, without a key; E644 for a key that is not used; E650 for what is
        no origin."""
        if self.host not in LOOPBACK and self.api_key_file is None:
            raise error("E643", host=self.host)
        if self.api_key_file and self.api_key_file.exists():
            read_key(self.api_key_file)
        for origin in self.cors:
            if not _is_origin(origin):
                raise error("E650", origin=origin)


def _is_origin(word: str) -> bool:
    """Whether browsers send a word as `Origin`. `*` would let in every page, `null` each that is in a sandbox."""
    try:
        parts = urlsplit(word)
        parts.port  # noqa: B018  raises for a port that is no number
    except ValueError:
        return False
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    return (
        is_web
        and word == f"{parts.scheme}://{parts.netloc}"
        and word.isascii()
        and word.isprintable()
        and "*" not in word
    )
