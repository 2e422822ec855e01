"""A language model behind an OpenAI-compatible endpoint: POST <base URL>/chat/completions, at temperature 0.

The key comes from an environment variable alone and is never shown. A reply is kept as soon as it is received, so that
a second attempt asks only for those that are missing.
"""

import concurrent.futures
import email.utils
import hashlib
import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NoReturn, cast

from preference.judges import verdicts
from preference.running.shards import Shards
from preference.running.stage import InputError, Progress, say

LONGEST_WAIT = 120.0  # seconds between two attempts
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The server writes and reads special tokens; which ones is not known here, so those of the usual forms are broken up.
SPECIAL = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<(?:bos|eos|pad|unk)>")


class Judge:
    """The model that the endpoint calls --judge."""

    def __init__(self, flags):
        _check(flags.endpoint)
        self.flags, self.key = flags, read_key(flags.key_variable)
        self.inputs, self.facts = {}, {}
        host = urllib.parse.urlsplit(flags.endpoint).hostname
        proxies = urllib.request.ProxyHandler({}) if host in LOOPBACK else urllib.request.ProxyHandler()
        self.opener = urllib.request.build_opener(proxies, _NoRedirects)

    def judge(self, pairs: list[dict], template: str, shards: Shards) -> list[dict]:
        """Return the judge's verdict on each pair, asked for in both orders."""
        bodies = [self._body(question) for pair in pairs for question in verdicts.questions(template, _disarmed(pair))]
        replies = self._replies(bodies, Replies(shards.folder / "replies.jsonl"))
        return [verdicts.judgement(*both) for both in zip(replies[::2], replies[1::2], strict=True)]

    def _body(self, question: str) -> bytes:
        asked = {"model": self.flags.judge, "messages": [{"role": "user", "content": question}]}
        return json.dumps(asked | {"temperature": 0, "max_tokens": self.flags.max_new_tokens}).encode()

    def _replies(self, bodies: list[bytes], kept: "Replies") -> list[str]:
        """Return the reply to each body; several are asked for at a time."""
        missing = [body for body in dict.fromkeys(bodies) if kept.get(body) is None]
        progress = Progress(len(missing), "replies")
        if len(missing) < len(set(bodies)):
            say(f"replies: {len(set(bodies)) - len(missing)} of {len(set(bodies))} were received before")

        def ask(body: bytes) -> None:
            kept.add(body, self._reply(body))

        with concurrent.futures.ThreadPoolExecutor(self.flags.concurrency) as threads:
            asked = [threads.submit(ask, body) for body in missing]
            try:
                for done in concurrent.futures.as_completed(asked):
                    done.result()
                    progress.update()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)  # those that are under way are kept all the same
                raise
        return [cast(str, kept.get(body)) for body in bodies]

    def _reply(self, body: bytes) -> str:
        """Return the reply to a body; wait and ask again if the endpoint is busy, broken or slow.

        Raises:
            InputError: the endpoint refuses the question, or gives no reply in --max_attempts.
        """
        for attempt in range(1, self.flags.max_attempts + 1):
            try:
                return self._ask(body)
            except _Busy as busy:
                if attempt == self.flags.max_attempts:
                    kept = "the replies so far are kept, the same command goes on from here"
                    where = f"--endpoint {self.flags.endpoint}"
                    raise InputError(f"{where}: no reply in {attempt} attempts: {busy}; {kept}") from None
                backed_off = self.flags.retry_seconds * 2 ** (attempt - 1)
                time.sleep(min(backed_off if busy.wait is None else max(busy.wait, 0.0), LONGEST_WAIT))
        raise AssertionError("at least one attempt is made")

    def _ask(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(f"{self.flags.endpoint.rstrip('/')}/chat/completions", body, headers)
        try:
            with self.opener.open(request, timeout=self.flags.timeout) as response:
                return _content(response.read())
        except urllib.error.HTTPError as error:
            self._refused(error)
        except (OSError, http.client.HTTPException) as error:  # no connection, a timeout, half of a reply
            raise _Busy(self._harmless(str(getattr(error, "reason", error)) or type(error).__name__)) from None

    def _refused(self, error: urllib.error.HTTPError) -> NoReturn:
        """Raise what an HTTP status means: to ask again, or that this question is never answered."""
        said = self._harmless(_message(error))
        if error.code in (408, 409, 425, 429) or error.code >= 500:
            raise _Busy(f"HTTP {error.code}{said}", _wait(error.headers.get("Retry-After"))) from None
        advice = ""
        if error.code in (401, 403):
            advice = f"; set the environment variable {self.flags.key_variable} to a key that it accepts"
        raise InputError(f"--endpoint {self.flags.endpoint}: HTTP {error.code}{said}{advice}") from None

    def _harmless(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def _check(endpoint: str | None) -> None:
    if endpoint is None:
        raise InputError("--judged_by endpoint: needs --endpoint, a base URL such as http://127.0.0.1:8000/v1")
    try:
        verdicts.check_endpoint(endpoint)
    except InputError as error:
        raise InputError(f"--endpoint: {error}") from None


class _Busy(Exception):
    """A failure that may pass; `wait` is how many seconds the endpoint asks for, if it does."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which would take the key to another address."""

    def redirect_request(self, *_):
        return None


class Replies:
    """Replies that were received, a line of JSON each in a file of the unfinished work."""

    def __init__(self, path: Path):
        self.path, self.lock = path, threading.Lock()
        self.replies: dict[str, str] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                self.replies |= json.loads(line)
            except (ValueError, TypeError):  # cut by a kill
                continue

    def get(self, body: bytes) -> str | None:
        """Return the reply to a body, if it was received."""
        return self.replies.get(_digest(body))

    def add(self, body: bytes, reply: str) -> None:
        """Keep a reply, on the disk too."""
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            self.replies[_digest(body)] = reply
            file.write("\n" + json.dumps({_digest(body): reply}))  # the break comes first: a cut line ends there


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def read_key(variable: str) -> str:
    """Return the key in an environment variable; an empty text without it, which servers of one's own accept."""
    key = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise InputError(f"--key_variable {variable}: its value holds a character that no key has")
    return key


def _disarmed(pair: dict) -> dict:
    """Return a pair whose texts hold no special token of the usual forms: a blank breaks each."""

    def broken(messages: list[dict]) -> list[dict]:
        return [
            {**message, "content": SPECIAL.sub(lambda token: f"{token[0][0]} {token[0][1:]}", message["content"])}
            for message in messages
        ]

    return {**pair, **{name: broken(pair[name]) for name in ("prompt", "response", "baseline_response")}}


def _content(answer: bytes) -> str:
    """Return the text of a completion; no text is an empty one."""
    try:
        message = json.loads(answer)["choices"][0]["message"]
        content = message["content"]
    except (ValueError, LookupError, TypeError):
        raise _Busy(f"the reply is no chat completion: {answer[:80]!r}") from None
    if content is not None and not isinstance(content, str):
        raise _Busy(f"the reply has a content of type {type(content).__name__}, not text")
    return content or ""


def _message(error: urllib.error.HTTPError) -> str:
    """Return what an endpoint says of a failure, as the end of a sentence."""
    try:
        text = error.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    try:
        found = json.loads(text)
        found = found.get("error", found)
        text = found["message"] if isinstance(found, dict) else found
    except (ValueError, LookupError, AttributeError):
        pass
    return f": {text[:200]}" if isinstance(text, str) and text.strip() else ""


def _wait(stated: str | None) -> float | None:
    """Return the seconds of a Retry-After, which is a number or a date."""
    if stated is None:
        return None
    try:
        return float(stated)
    except (TypeError, ValueError):
        pass
    try:
        return email.utils.parsedate_to_datetime(stated).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
