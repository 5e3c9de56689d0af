"""An HTTP server on 127.0.0.1 that can be told to misbehave."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """What is served and how; `requests` are the paths and Range headers that came, `sent` the bytes of all bodies."""

    files: dict[str, bytes]
    address: str = ""
    ranges: bool = True
    etag: str | None = '"one"'
    respect_if_range: bool = True
    status: list[int] = field(default_factory=list)  # of the next answers; 200 when empty
    error_headers: dict[str, str] = field(default_factory=dict)  # of an answer with another status
    cuts: list[float] = field(default_factory=list)  # of the next answers, the share of the body that is sent
    content_type: str = "application/octet-stream"
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """A server of `files` by path, while the block lasts."""
    server = Server(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.requests.append((self.path, wanted))
            body = server.files.get(self.path)
            status = server.status.pop(0) if server.status else 200
            if body is None:
                status = 404
            if status != 200 or body is None:
                self.answer(status, b"<html>error</html>", "text/html", server.error_headers)
                return
            headers = {} if server.etag is None else {"ETag": server.etag}
            start, match = 0, re.fullmatch(r"bytes=(\d+)-", wanted or "")
            known = self.headers.get("If-Range", server.etag)
            # a weak tag never matches: RFC 9110, section 13.1.5
            fresh = server.respect_if_range and (
                known != server.etag or ("If-Range" in self.headers and known[:2] == "W/")
            )
            if server.ranges and match and not fresh:
                start = int(match[1])
                if start >= len(body):
                    self.answer(416, b"", "text/plain", {"Content-Range": f"bytes */{len(body)}"})
                    return
                status = 206
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(status, body[start:], server.content_type, headers)

        def answer(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            kept = int(len(body) * server.cuts.pop(0)) if server.cuts and status in (200, 206) else len(body)
            self.wfile.write(body[:kept])
            server.sent += kept
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
