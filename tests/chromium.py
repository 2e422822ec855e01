"""Chromium as a person has it: it opens pages, and keys and clicks arrive as real ones do.

It is driven through two pipes (--remote-debugging-pipe), which need no port and no library: a message is JSON that ends
in a zero byte.
"""

import base64
import fcntl
import itertools
import json
import os
import selectors
import shutil
import subprocess
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60  # for an answer, on a machine that does other work too
KEYS = {  # name: (code, number, text)
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "Backspace": ("Backspace", 8, ""),
}
SHIFT = 8


class Chromium:
    """A headless browser with a profile of its own; use as a context manager."""

    def __init__(self, profile: Path):
        found = next(filter(None, map(shutil.which, NAMES)), None)
        assert found, "Chromium is not installed: apt-get install chromium"
        self.command = [found, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        self.command += [f"--user-data-dir={profile}", "--window-size=1200,900"]
        self.numbers, self.events, self.unread = itertools.count(1), [], b""

    def __enter__(self):
        pipes = [os.pipe(), os.pipe()]
        # the browser reads 3 and writes 4: numbers above them cannot be in the way
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (pipes[0][0], pipes[1][1])]
        script = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(["bash", "-c", script, "bash", *self.command], pass_fds=theirs, **quiet)
        for fd in (*theirs, pipes[0][0], pipes[1][1]):
            os.close(fd)
        self.input, self.output = pipes[0][1], pipes[1][0]
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(SECONDS)
        finally:
            self.process.kill()  # does nothing to one that has ended
            os.close(self.input)
            os.close(self.output)

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        """Send a command and wait for what it returns; what happens meanwhile is in `events`."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self.input, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self) -> dict:
        while b"\0" not in self.unread:
            with selectors.DefaultSelector() as ready:
                ready.register(self.output, selectors.EVENT_READ)
                assert ready.select(SECONDS), "Chromium does not answer"
            self.unread += os.read(self.output, 1 << 20)
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def open(self, address: str) -> "Tab":
        """A new tab with a page that has been read and has run its script."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        tab = Tab(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"], target)
        for domain in ("Page", "Network", "Runtime"):
            tab.call(f"{domain}.enable")
        tab.call("Page.navigate", url=address)
        tab.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab


class Tab:
    """A page, its keyboard and its mouse."""

    def __init__(self, browser: Chromium, session: str, target: str):
        self.browser, self.session, self.target = browser, session, target

    def call(self, method: str, **parameters) -> dict:
        return self.browser.call(method, self.session, **parameters)

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)

    def value(self, expression: str):
        """What an expression is in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        end = time.monotonic() + SECONDS
        while not self.value(condition):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.01)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key down and up: a name of KEYS, or a character."""
        code, number, text = KEYS.get(key) or ("", ord(key.upper()) if key.isalnum() else 0, key)
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        for character in text:
            self.press(character)

    def click(self, selector: str) -> None:
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.value(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def happened(self, method: str) -> list[dict]:
        """The events of a kind so far."""
        events = self.browser.events
        return [e["params"] for e in events if e.get("sessionId") == self.session and e["method"] == method]

    def requested(self) -> list[str]:
        """Every address that the page has asked for and that its policy has not kept from it."""
        blocked = {e["requestId"] for e in self.happened("Network.loadingFailed") if e.get("blockedReason") == "csp"}
        asked = self.happened("Network.requestWillBeSent")
        return [event["request"]["url"] for event in asked if event["requestId"] not in blocked]

    def picture(self, path: Path) -> None:
        """The visible part of the page as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
