"""A headless Chromium that a test looks through, by the DevTools protocol over two pipes."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage", "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
_SECONDS = 60.0

# Texts of charts as they are seen: smaller than nine pixels, beyond the frame, or over each other.
UNREADABLE = """(() => {
  const found = [];
  for (const chart of document.querySelectorAll('svg[viewBox]')) {
    const frame = chart.getBoundingClientRect();
    const texts = [...chart.querySelectorAll('text')];
    const boxes = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, at) => {
      const box = boxes[at];
      const pixels = parseFloat(getComputedStyle(text).fontSize) * frame.width / chart.viewBox.baseVal.width;
      if (pixels < 9) found.push(`${text.textContent} has ${pixels.toFixed(1)} pixels`);
      const across = box.left < frame.left - 1 || box.right > frame.right + 1;
      const along = box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
      if (across || along) found.push(`${text.textContent} is beyond the frame`);
      if (text.hasAttribute('transform')) return;
      texts.slice(0, at).forEach((other, before) => {
        const wide = Math.min(box.right, boxes[before].right) - Math.max(box.left, boxes[before].left);
        const high = Math.min(box.bottom, boxes[before].bottom) - Math.max(box.top, boxes[before].top);
        const level = !other.hasAttribute('transform');
        if (level && wide > 1 && high > 3) found.push(`${text.textContent} is over ${other.textContent}`);
      });
    });
  }
  return found;
})()"""


class Browser:
    """One page of a browser.

    Attributes:
        errors: What the page has complained of: exceptions, errors of its console, refusals of its security policy.
        requests: The URLs that it has asked for.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None
        self._loaded = False
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, file: Path, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Opens a file, and waits until it is loaded, and has said that it is ready if it has a script."""
        self.size(width, height)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=file.as_uri())
        ready = "!document.querySelector('script') || document.body.classList.contains('ready')"
        self.wait(f"document.readyState === 'complete' && ({ready})")

    def size(self, width: int, height: int) -> None:
        """Gives the window a size in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def value(self, expression: str) -> Any:
        """Returns the value of an expression of JavaScript, awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Waits until an expression is true."""
        until = time.monotonic() + _SECONDS
        while not self.value(expression):
            assert time.monotonic() < until, f"{expression} did not become true; {self.errors}"
            time.sleep(0.05)

    def move(self, x: float, y: float) -> None:
        """Moves the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drag(self, *places: tuple[float, float], shift: bool = False) -> None:
        """Presses the mouse at the first place, moves it over the others, and releases it; one place is a click."""
        modifiers = 8 if shift else 0
        button = {"button": "left", "buttons": 1, "clickCount": 1, "modifiers": modifiers}
        (x, y), (last_x, last_y) = places[0], places[-1]
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **button)
        for to_x, to_y in places[1:]:
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=to_x, y=to_y, **button)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=last_x, y=last_y, **button)

    def key(self, name: str) -> None:
        """Presses a key, by its name in JavaScript; of one letter that is typed."""
        text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Enter" else {}
        codes = {"Enter": 13, "Escape": 27, "Tab": 9}
        code = {"windowsVirtualKeyCode": codes[name]} if name in codes else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, **text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, **code)

    def screenshot(self, file: Path) -> None:
        """Writes what is seen as a PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            read = os.read(self._from, 2**20)
            assert read, "the browser has ended"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in {"error", "assert"}:
            self.errors.append(json.dumps(said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(said["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])


@contextlib.contextmanager
def opened_browser(folder: Path) -> Iterator[Browser]:
    """Starts a browser with a profile in a folder."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed")
    (commands_out, commands_in), (answers_out, answers_in) = os.pipe(), os.pipe()
    line = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
    process = subprocess.Popen(
        ["bash", "-c", line, "chromium", CHROMIUM, f"--user-data-dir={folder}", *_OPTIONS],
        pass_fds=(commands_out, answers_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_out)
    os.close(answers_in)
    try:
        yield Browser(commands_in, answers_out)
    finally:
        process.terminate()
        process.wait()
        os.close(commands_in)
        os.close(answers_out)
