"""A package index on this machine with one wheel, of which it sends half, and the rest when it is told to."""

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tunewright.inspection.builtin_models import Wheel

VERSION = "1.0"
PATIENCE = 120.0


def wheel_of(folder: Path, package: str, files: Mapping[str, bytes]) -> tuple[Path, Wheel]:
    """A wheel that pip takes, with these files in a folder `model`, and how it is pinned."""
    module = package.replace("-", "_")
    info = f"{module}-{VERSION}.dist-info"
    inside = {
        f"{module}/__init__.py": b"raise SystemExit",
        **{f"{module}/model/{name}": content for name, content in files.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {VERSION}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in inside.items())
    path = folder / f"{module}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**inside, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(name, content)
    whole = path.read_bytes()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return path, Wheel(package, VERSION, hashlib.sha256(whole).hexdigest(), len(whole), f"{module}/model", digests)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@dataclass
class WheelIndex:
    """Where it is, and what lets the second half through."""

    url: str
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(path: Path) -> Iterator[WheelIndex]:
    """An index that has this wheel for whoever asks for any package."""
    whole = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_page = self.path.startswith("/simple/")
            body = f'<a href="/{path.name}">{path.name}</a>'.encode() if is_page else whole
            self.send_response(200)
            self.send_header("content-type", "text/html" if is_page else "application/octet-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # it was stopped
                self.wfile.write(body[: len(body) // 2])
                if not is_page:
                    index.released.wait(PATIENCE)
                self.wfile.write(body[len(body) // 2 :])

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index = WheelIndex(f"http://127.0.0.1:{server.server_port}/simple")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield index
    finally:
        index.released.set()
        server.shutdown()
        server.server_close()
