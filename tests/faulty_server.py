"""A chat-completions server on 127.0.0.1 that fails in the ways that real ones do; use as a context manager."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = dict | str | bytes


class Server:
    """Answers each question by `answer(question, number of times that it was asked)`.

    An answer is the text of a reply, or a mapping with `status`, `body`, `headers` and `delay` in seconds.

    Attributes:
        url: the base URL.
        requests: (headers, body) of each request, in the order in which they came.
    """

    def __init__(self, answer: Callable[[str, int], Answer]):
        self.answer, self.requests, self.lock = answer, [], threading.Lock()

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                server.respond(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def questions(self) -> list[str]:
        """Return what was asked, in order."""
        return [body["messages"][0]["content"] for _, body in self.requests]

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        assert request.path == "/v1/chat/completions", request.path
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        with self.lock:
            self.requests.append((dict(request.headers), body))
            count = self.questions().count(question)
        answer = self.answer(question, count)
        if isinstance(answer, str):
            answer = {"body": json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]})}
        time.sleep(answer.get("delay", 0))
        content = answer.get("body", "")
        content = content if isinstance(content, bytes) else content.encode()
        try:
            request.send_response(answer.get("status", 200))
            for name, value in {"Content-Length": len(content), **answer.get("headers", {})}.items():
                request.send_header(name, str(value))
            request.end_headers()
            request.wfile.write(content)
        except OSError:  # it did not wait
            pass
