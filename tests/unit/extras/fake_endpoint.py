"""A server on this machine that gives prepared replies, for what no real engine here says."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import Any

Reply = tuple[int, Any] | Callable[[Mapping[str, Any]], tuple[int, Any]]


@dataclass
class FakeEndpoint:
    """The replies by path (other paths are 404), and the requests that came: path, body, authorization."""

    replies: dict[str, Reply]
    headers: Mapping[str, str]
    """Of every reply."""
    url: str = ""
    requests: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)


@contextmanager
def answering(
    replies: Mapping[str, Reply], headers: Mapping[str, str] = MappingProxyType({})
) -> Iterator[FakeEndpoint]:
    fake = FakeEndpoint(dict(replies), headers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, body: dict[str, Any]) -> None:
            fake.requests.append((self.path, body, self.headers.get("Authorization", "")))
            reply = fake.replies.get(self.path, (404, {"error": {"message": "no such path"}}))
            status, content = reply(body) if callable(reply) else reply
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            for name, value in fake.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=[0.01])  # seconds until it looks whether it is to end
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
