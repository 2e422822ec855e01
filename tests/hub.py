"""A model hub on loopback, with what a folder holds: as much of the hub's interface as its client asks for."""

import hashlib
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)


class Hub:
    """Serves `folder/<models or datasets>/<owner>/<name>/<files>`; use as a context manager.

    Attributes:
        gated: names that it gives to nobody.
        renamed: old name -> new name, where it leads to.
    """

    def __init__(self, folder: Path):
        self.folder, self.asked, self.gated, self.renamed = folder, [], set(), {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self, body=True)

            def do_HEAD(self):
                hub.answer(self, body=False)

            def do_POST(self):
                hub.asked_about = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
                hub.answer(self, body=True)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "Hub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self) -> dict[str, str]:
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}", "HF_HUB_OFFLINE": "0"}

    def answer(self, request, body: bool) -> None:
        words = [unquote(word) for word in urlparse(request.path).path.strip("/").split("/")]  # a revision may have a /
        self.asked.append("/".join(words))
        status, headers, content = self._found(words)
        request.send_response(status)
        for name, value in {"Content-Length": len(content), "X-Repo-Commit": COMMIT, **headers}.items():
            request.send_header(name, str(value))
        request.end_headers()
        if body:
            request.wfile.write(content)

    def _found(self, words: list[str]) -> tuple[int, dict, bytes]:
        name = "/".join(words[2:4] if words[0] in ("api", "datasets") else words[:2])
        if name in self.gated:
            return 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {name} is restricted."}, b"{}"
        if name in self.renamed:
            return 307, {"Location": "/" + "/".join(words).replace(name, self.renamed[name])}, b""
        asked = [then for word, then in itertools.pairwise(words) if word in ("resolve", "revision")]
        if asked and asked[0] not in REVISIONS and not asked[0].startswith("refs/"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if words[0] == "api" and len(words) >= 4:
            return self._of_repository(words[1], "/".join(words[2:4]), words[4:])
        kind, words = ("datasets", words[1:]) if words[0] == "datasets" else ("models", words)
        file = self.folder / kind / "/".join(words[:2]) / "/".join(words[4:])
        if len(words) > 4 and words[2] == "resolve" and file.is_file():
            content = file.read_bytes()
            return 200, {"ETag": f'"{_digest(content)}"', "Accept-Ranges": "bytes"}, content
        if not (self.folder / kind / "/".join(words[:2])).is_dir():
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        return 404, {"X-Error-Code": "EntryNotFound"}, b""

    def _of_repository(self, kind: str, name: str, words: list[str]) -> tuple[int, dict, bytes]:
        folder = self.folder / kind / name
        if not folder.is_dir():
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        listed = [
            {"type": "file", "path": path, "oid": _digest(content), "size": len(content)}
            for path, content in files.items()
        ]
        if words[:1] == ["paths-info"]:
            return _json([each for each in listed if each["path"] in self.asked_about.get("paths", [])])
        if words[:1] == ["tree"]:
            below = "".join(f"{word}/" for word in words[2:])
            inside = [each for each in listed if each["path"].startswith(below)]
            folders = {below + each["path"][len(below) :].split("/")[0] for each in inside} - set(files)
            return _json([{"type": "directory", "path": path, "oid": COMMIT} for path in sorted(folders)] + inside)
        siblings = [{"rfilename": path} for path in files]
        return _json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False, "tags": []})


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _json(content) -> tuple[int, dict, bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
