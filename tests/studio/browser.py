"""A studio that is being served, and a browser that holds every complaint against the page."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Download, Locator, Page, expect, sync_playwright

from starflow_v.data.video_io import Frames, read_video

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for path in map(shutil.which, NAMES) if path), None)
PATIENCE = 120_000
"""Milliseconds for what takes a video's time on a busy machine."""


@contextmanager
def served(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The studio as users start it; its address, and its process, which is ended politely."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "starflow_v.cli.main", "studio", "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, f"the studio did not open: {line}"
            yield found[0], process
        finally:
            process.terminate()


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def visit(chromium: Browser, url: str, *, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """The page in a tab of its own; no error on its console, and nothing asked of other servers."""
    complaints: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda told: complaints.append(told.text) if told.type == "error" else None,
    )
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((url, "data:", "blob:")) else complaints.append(asked.url)
        ),
    )
    page.goto(url)
    page.get_by_role("tab", name="Generate").wait_for()
    yield page
    page.close()
    assert not complaints, complaints


def open_tab(page: Page, name: str) -> Locator:
    """A tab of the page, shown."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def tiles_seen(tab: Locator, *, until: int) -> list[int]:
    """How many latent frames were shown, each time that it changed, up to so many."""
    seen, deadline = [0], time.monotonic() + PATIENCE / 1000
    while seen[-1] < until:
        assert time.monotonic() < deadline, f"{until} frames were expected, and {seen} seen"
        tab.page.wait_for_timeout(50)
        count = tab.locator(".tiles img").count()
        if count != seen[-1]:
            seen.append(count)
    return seen


def download(page: Page, name: str, place: Path) -> Path:
    """What the newest card hands out under a name."""
    with page.expect_download() as waiting:
        page.locator(".card").first.get_by_role("link", name=name).click()
    handed: Download = waiting.value
    path = place / handed.suggested_filename
    handed.save_as(path)
    return path


def decoded(path: Path) -> Frames:
    """The frames of a video."""
    return read_video(path).frames
