"""A server for OpenAI's chat API that does what a test tells it to: mostly what servers should not do."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Deed = Callable[["Handler"], None]


@dataclass
class Seen:
    """One request as it arrived."""

    body: dict[str, Any]
    headers: dict[str, str]
    at_s: float = field(default_factory=time.monotonic)


class Handler(BaseHTTPRequestHandler):
    """Each request does the next deed of the script, or the usual one when the script has run out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: 40 ms each time
    server: Listener

    def do_POST(self) -> None:
        place = self.server.place
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with place.lock:
            place.seen.append(Seen(body, {name.lower(): value for name, value in self.headers.items()}))
            deed = place.script.popleft() if place.script else place.usual
            place.num_open += 1
            place.most_open = max(place.most_open, place.num_open)
        try:
            if self.path == "/v1/chat/completions":
                deed(self)
            else:
                status(404, "no such path")(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with place.lock:
                place.num_open -= 1

    def reply(self, content: bytes, code: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, place: ScriptedServer):
        super().__init__(("127.0.0.1", port), Handler)
        self.place = place

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is nothing to print."""


class ScriptedServer:
    """Listens from ``start`` (or entering the block) to ``stop`` (or leaving it), on the same port each time."""

    def __init__(self, *deeds: Deed, usual: Deed | None = None):
        self.script = deque(deeds)
        self.usual = usual or completion('{"n": 1}')
        self.seen: list[Seen] = []
        self.num_open = self.most_open = 0
        self.lock = threading.Lock()
        self.is_over = threading.Event()  # ends those that hang
        self.port = 0  # the first start chooses it
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._listener = Listener(self.port, self)
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown()
            listener.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        self.stop()


def body_of(content: Any, finish: str | None = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """The body of a reply with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def completion(content: Any, finish: str | None = "stop", usage: Any = None, **message: Any) -> Deed:
    """An answer as it should be, except for what it says."""
    return reply(body_of(content, finish, usage, **message))


def reply(body: Any) -> Deed:
    """Whatever JSON, as if it were an answer."""
    return lambda handler: handler.reply(json.dumps(body).encode())


def raw(content: bytes, kind: str = "application/json", code: int = 200, **headers: str) -> Deed:
    """Whatever bytes."""
    return lambda handler: handler.reply(content, code, kind, **headers)


def status(number: int, said: str = "no", headers: Mapping[str, str] | None = None, **error: Any) -> Deed:
    """A refusal in the form OpenAI gives it."""
    body = {"error": {"message": said, "type": "error", "param": None, "code": None, **error}}
    return lambda handler: handler.reply(json.dumps(body).encode(), number, **(headers or {}))


def echo_key(code: int) -> Deed:
    """A refusal that repeats the key, in a header as well."""

    def deed(handler: Handler) -> None:
        key = handler.headers["Authorization"].removeprefix("Bearer ")
        handler.reply(json.dumps({"error": {"message": f"bad key {key}"}}).encode(), code, x_key=key)

    return deed


def after(wait_s: float, then: Deed) -> Deed:
    """Do it later."""

    def deed(handler: Handler) -> None:
        handler.server.place.is_over.wait(wait_s)
        then(handler)

    return deed


def hang(handler: Handler) -> None:
    """Take the request and say nothing more, as long as the test runs."""
    handler.server.place.is_over.wait(30)
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Promise much, send a little, break off hard."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def babble(handler: Handler) -> None:
    """Say something that is no HTTP."""
    handler.wfile.write(b"what?\r\n\r\n")
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def drip(body: Any, size: int, pause_s: float) -> Deed:
    """Send an answer in chunks of ``size`` bytes, slowly."""
    content = json.dumps(body).encode()

    def deed(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(content), size):
            part = content[start : start + size]
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            handler.wfile.flush()
            if handler.server.place.is_over.wait(pause_s):
                break
        handler.wfile.write(b"0\r\n\r\n")

    return deed
