# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, driven as a person would by the W3C WebDriver protocol of chromedriver."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--window-size=1280,1000",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, of the standard
ENTER, ESCAPE = "\ue007", "\ue00c"


class Browser:
    """One window."""

    def __init__(self, *flags: str) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self.flags = [*FLAGS, f"--user-data-dir={self.profile.name}", *flags]
        self.log = tempfile.TemporaryFile("w+")
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=self.log, stderr=subprocess.STDOUT
        )
        self.url = f"http://127.0.0.1:{self._port()}/session"

    def _port(self) -> int:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.log.seek(0)
            for line in self.log:
                if "started successfully on port" in line:
                    return int(line.rstrip().rstrip(".").rpartition(" ")[2])
            time.sleep(0.05)
        raise TimeoutError("chromedriver does not start")

    def __enter__(self) -> Self:
        wanted = {"goog:chromeOptions": {"args": self.flags}}
        found = self._ask("", {"capabilities": {"alwaysMatch": wanted}})
        self.url += f"/{found['sessionId']}"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            request = urllib.request.Request(self.url, method="DELETE")
            urllib.request.urlopen(request, timeout=20).close()
        finally:
            self.driver.terminate()
            self.driver.wait(20)
            self.log.close()
            self.profile.cleanup()

    def _ask(self, path: str, values: dict[str, Any]) -> Any:
        body = json.dumps(values).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def open(self, page: Path, end: str = "") -> None:
        """Loads a file."""
        self._ask("/url", {"url": "about:blank"})  # another fragment alone would load nothing
        self._ask("/url", {"url": f"{page.as_uri()}{end}"})

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def _find(self, selector: str) -> str:
        found = self._ask("/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        """With the mouse."""
        self._ask(f"/element/{self._find(selector)}/click", {})

    def keys(self, text: str) -> None:
        """Typed, wherever the page has its focus."""
        steps = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._ask("/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def paper(self) -> bytes:
        """The page as PDF, as it would be printed."""
        return base64.b64decode(self._ask("/print", {}))
