"""An HTTP service of labels on this machine, as a user may have one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any


@contextmanager
def label_service(label: Any = lambda row: "yes" if row[0] > 0.5 else "no") -> Iterator[SimpleNamespace]:
    """A server of `label`, of one input; `statuses` are sent first, in their order, and `answer` instead of labels."""
    state = SimpleNamespace(sizes=[], statuses=[], answer=None, tokens=[], retry_after="0")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.tokens.append(self.headers["Authorization"])
            answer, status = b"", 200
            if state.statuses:
                status = state.statuses.pop(0)
            else:
                state.sizes.append(len(body["inputs"]))
                labels = [label(row) for row in body["inputs"]]
                answer = json.dumps({"labels": labels}).encode() if state.answer is None else state.answer
            self.send_response(status)
            self.send_header("Retry-After", state.retry_after)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/predict"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
