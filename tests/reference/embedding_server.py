"""An OpenAI-compatible embedding server on loopback that misbehaves as it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import numpy as np

WIDTH = 6


def vector(text: str, width: int = WIDTH) -> np.ndarray:
    """What the server answers to a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return np.frombuffer(digest, dtype=np.uint8)[:width].astype(np.float32) / 7


class Call(NamedTuple):
    texts: list[str]
    body: dict[str, Any]
    headers: dict[str, str]
    when: float


class Answer(NamedTuple):
    status: int = 200
    body: Any = None  # bytes, or what JSON can hold
    headers: dict[str, str] = {}  # noqa: RUF012 # never changed
    hang_up: bool = False
    delay: float = 0.0


def reply(texts: list[str], *, width: int = WIDTH, form: str = "float", usage: int | None = None) -> dict[str, Any]:
    """A right answer."""
    rows = [vector(text, width) for text in texts]
    shown = [base64.b64encode(row.tobytes()).decode() if form == "base64" else row.tolist() for row in rows]
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(shown)]
    used = {"usage": {"prompt_tokens": usage, "total_tokens": usage}} if usage is not None else {}
    return {"object": "list", "data": data, "model": "m", **used}


def failure(status: int, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    body = {"error": {"message": message, "type": "error", "code": code}}
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class EmbeddingServer:
    """``plan(number of the call, texts)`` gives an `Answer`, or None for the right one."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.plan: Callable[[int, list[str]], Answer | None] = lambda number, texts: None
        self.running = self.most = 0
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer's second packet waits 40 ms for the client's delayed ACK

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(outer.calls)
                    outer.calls.append(
                        Call(
                            body["input"],
                            body,
                            {name.lower(): value for name, value in self.headers.items()},
                            time.monotonic(),
                        )
                    )
                    outer.running += 1
                    outer.most = max(outer.most, outer.running)
                answer = outer.plan(number, body["input"])
                if answer is None:
                    answer = Answer(body=reply(body["input"], form=body.get("encoding_format", "float")))
                time.sleep(answer.delay)
                with lock:
                    outer.running -= 1
                self.send(answer)

            def send(self, answer: Answer) -> None:
                if answer.hang_up:
                    self.close_connection = True
                    self.connection.close()
                    return
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> EmbeddingServer:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def texts(self) -> list[str]:
        """All texts of all calls."""
        return [text for call in self.calls for text in call.texts]
