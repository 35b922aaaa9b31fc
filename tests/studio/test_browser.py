"""The studio in a headless browser, with the embedded model: what a visitor does and sees.

    pytest -m browser tests/studio/test_browser.py

Chromium is the system's: `apt-get install chromium`. Pictures of the page are left in pytest's
temporary folder.
"""

import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from starflow_v.cli.main import app
from starflow_v.data.video_io import VideoWriter

pytest.importorskip("playwright", reason="playwright, of the extra dev, is not installed")

from playwright.sync_api import Browser, Locator, Page, expect

from tests.studio import browser as helpers

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra studio is not installed"),
    pytest.mark.skipif(helpers.BROWSER is None, reason="no Chromium is installed"),
]

PROMPT = "a red circle moves right on a blue background"
WIDTHS = (1280, 390)
LONG = 81
"""Frames."""


def begin_long(page: Page) -> Locator:
    """The tab of a video that takes long enough to be stopped."""
    tab = helpers.open_tab(page, "Generate")
    tab.get_by_label("What the video shows").fill(PROMPT)
    tab.get_by_role("button", name="Settings").click()
    tab.get_by_label("number input for Frames").fill(str(LONG))
    tab.get_by_role("button", name="Generate", exact=True).click()
    return tab


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with helpers.served() as (address, _):
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with helpers.browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser, url: str) -> Iterator[Page]:
    with helpers.visit(chromium, url) as opened:
        yield opened


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A red square on gray, taller than wide."""
    pixels = np.full((90, 70, 3), 128, np.uint8)
    pixels[30:60, 20:50] = (232, 40, 40)
    path = tmp_path / "my picture.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A red square that moves right over gray, 9 frames."""
    frames = np.full((9, 64, 80, 3), 128, np.uint8)
    for number, frame in enumerate(frames):
        frame[20:40, 4 + 5 * number : 24 + 5 * number] = (232, 40, 40)
    path = tmp_path / "my clip.mp4"
    with VideoWriter(path, fps=8) as writer:
        writer.write(frames)
    return path


def test_frames_are_shown_as_they_are_made_and_the_video_is_handed_out(
    page: Page, tmp_path: Path
) -> None:
    tab = helpers.open_tab(page, "Generate")
    tab.get_by_label("What the video shows").fill(PROMPT)
    tab.get_by_role("button", name="Generate").click()
    seen = helpers.tiles_seen(tab, until=5)
    assert len(set(seen) & {1, 2, 3, 4}) >= 3, seen
    expect(tab.locator(".figures")).to_contain_text("Done")
    video = helpers.download(page, "mp4", tmp_path)
    assert len(helpers.decoded(video)) == 17
    assert b"avc1" in video.read_bytes(), "H.264, which every browser plays"
    expect(tab.locator(".screen video")).to_have_js_property("readyState", 4)
    record = json.loads(helpers.download(page, "json", tmp_path).read_text())
    assert record["prompt"] == PROMPT and record["total_frames"] == 17


def test_a_run_that_is_stopped_keeps_what_exists(page: Page, tmp_path: Path) -> None:
    tab = begin_long(page)
    helpers.tiles_seen(tab, until=2)
    tab.get_by_role("button", name="Stop").click()
    expect(tab.locator(".figures")).to_contain_text("frames kept")
    frames = helpers.decoded(helpers.download(page, "mp4", tmp_path))
    assert 5 <= len(frames) < LONG
    expect(tab.get_by_role("button", name="Generate")).to_be_enabled()


def test_an_image_that_is_uploaded_is_animated_beside_it(
    page: Page, image: Path, tmp_path: Path
) -> None:
    tab = helpers.open_tab(page, "Animate")
    tab.locator("input[type=file]").set_input_files(image)
    expect(tab.locator(".given")).to_contain_text("my picture.png")
    tab.get_by_label("What happens").fill("a red square moves right on a gray background")
    tab.get_by_role("button", name="Animate").click()
    expect(tab.locator(".screen video")).to_be_visible()
    expect(tab.locator(".sides")).to_contain_text("given")
    frames = helpers.decoded(helpers.download(page, "mp4", tmp_path))
    assert frames.shape == (17, 64, 64, 3)
    assert helpers.download(page, "source", tmp_path).read_bytes() == image.read_bytes()


def test_a_clip_goes_on_and_another_seed_is_taken_each_time(
    page: Page, clip: Path, tmp_path: Path
) -> None:
    tab = helpers.open_tab(page, "Extend")
    tab.locator("input[type=file]").set_input_files(clip)
    expect(tab.locator(".given")).to_contain_text("9 frames")
    tab.get_by_label("What the clip shows").fill("a red square moves right on a gray background")
    tab.get_by_role("button", name="Settings").click()
    tab.get_by_label("number input for New frames").fill("4")
    for count in (1, 2):
        tab.get_by_role("button", name="Extend", exact=True).click()
        expect(page.locator(".card")).to_have_count(count)
        frames = helpers.decoded(helpers.download(page, "mp4", tmp_path))
        assert frames.shape == (13, 64, 64, 3)
    told = page.locator(".card small").all_inner_texts()
    assert len(set(re.findall(r"seed (\d+)", " ".join(told)))) == 2, told


def test_a_part_is_filled_in_and_made_again_from_its_record(
    page: Page, clip: Path, tmp_path: Path
) -> None:
    tab = helpers.open_tab(page, "Edit")
    tab.locator("input[type=file]").first.set_input_files(clip)
    expect(tab.locator(".given").first).to_contain_text("9 frames")
    tab.get_by_label("Fill in a part").check()
    tab.get_by_label("number input for Left, %").fill("80")
    expect(tab.get_by_role("alert")).to_contain_text("is empty")
    tab.get_by_label("number input for Left, %").fill("50")
    expect(tab.locator(".fill .given")).to_contain_text("gray is to be made")
    tab.get_by_label("What is to be done").fill("fill in the masked region")
    tab.get_by_role("button", name="Edit", exact=True).click()
    expect(tab.locator(".screen video")).to_be_visible()
    for name in ("json", "source", "mask"):
        helpers.download(page, name, tmp_path)
    video = helpers.download(page, "mp4", tmp_path)
    again = tmp_path / "again.mp4"
    told = [str(video.with_suffix(".json")), "-o", str(again)]
    result = CliRunner().invoke(app, ["edit", "--from", *told])
    assert result.exit_code == 0, result.output
    assert np.array_equal(helpers.decoded(video), helpers.decoded(again))


def test_a_clip_that_is_uploaded_is_edited_and_scored(
    page: Page, clip: Path, tmp_path: Path
) -> None:
    tab = helpers.open_tab(page, "Edit")
    tab.locator("input[type=file]").first.set_input_files(clip)
    expect(tab.locator(".given").first).to_contain_text("9 frames")
    tab.get_by_label("What is to be done").fill("make it green")
    tab.get_by_role("button", name="Edit").click()
    expect(tab.locator(".screen video")).to_be_visible()
    assert len(helpers.decoded(helpers.download(page, "mp4", tmp_path))) == 9

    tab = helpers.open_tab(page, "Score")
    tab.locator("input[type=file]").set_input_files(clip)
    expect(tab.locator(".given")).to_contain_text("9 frames")
    tab.get_by_label("What the clip shows").fill("a red square moves right on a gray background")
    tab.get_by_role("button", name="Score").click()
    expect(tab.locator(".curve circle")).to_have_count(3)
    expect(tab.locator(".total")).to_contain_text("bits per latent dimension")


def test_what_is_wrong_is_said(page: Page, tmp_path: Path) -> None:
    tab = helpers.open_tab(page, "Generate")
    tab.get_by_label("What the video shows").fill("x" * 1_000_000)
    tab.get_by_role("button", name="Generate").click()
    expect(tab.get_by_role("alert")).to_contain_text("1,000,000 characters")

    evil = tmp_path / "evil.mp4"
    evil.write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")
    tab = helpers.open_tab(page, "Edit")
    tab.locator("input[type=file]").first.set_input_files(evil)
    expect(tab.get_by_role("alert")).to_contain_text("evil.mp4: not a video")
    tab.get_by_role("button", name="Edit").click()
    expect(tab.get_by_role("alert").last).to_contain_text("Say what")


def test_signs_of_all_kinds_are_text(page: Page) -> None:
    prompt = "<b>مرحبا</b> ${1+1} {{value}} 🎈 circle"
    tab = helpers.open_tab(page, "Generate")
    tab.get_by_label("What the video shows").fill(prompt)
    tab.get_by_role("button", name="Settings").click()
    tab.get_by_label("number input for Frames").fill("1")
    tab.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".card p").first).to_have_text(prompt)
    expect(tab.locator(".notice")).to_contain_text("never seen: b, مرحبا")


def test_a_tab_that_is_closed_makes_room_for_the_next(chromium: Browser, url: str) -> None:
    with helpers.visit(chromium, url) as second:
        with helpers.visit(chromium, url) as first:
            for page in (first, second):
                expect(begin_long(page).locator(".figures")).to_be_visible()
            expect(second.locator(".figures").first).to_contain_text("1 before you")
        expect(second.locator(".figures").first).to_contain_text("latent frame 2")
        second.get_by_role("button", name="Stop").first.click()
        expect(second.locator(".figures").first).to_contain_text("frames kept")


def test_a_server_that_ends_in_the_middle_leaves_nothing(chromium: Browser) -> None:
    before = set(Path(tempfile.gettempdir()).glob("starflow-v-studio-*"))
    with helpers.served() as (url, process):
        page = chromium.new_page()
        page.goto(url)
        helpers.tiles_seen(begin_long(page), until=1)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=helpers.PATIENCE / 1000) == 0
        page.close()
    assert set(Path(tempfile.gettempdir()).glob("starflow-v-studio-*")) <= before


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits(chromium: Browser, url: str, width: int, tmp_path: Path) -> None:
    with helpers.visit(chromium, url, width=width) as page:
        for name in ("Generate", "Animate", "Extend", "Edit", "Score"):
            tab = helpers.open_tab(page, name)
            chip = tab.locator(".chip").last
            chip.click()
            if name != "Generate":
                expect(tab.locator(".given").last).to_be_visible()
            if name == "Edit":
                expect(tab.locator(".fill .given")).to_be_visible()
            if name in ("Animate", "Score"):
                tab.get_by_role("button", name=name, exact=True).click()
                made = ".curve" if name == "Score" else ".screen video"
                expect(tab.locator(made)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.wait_for_timeout(1000)
            page.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
    print(f"pictures of the page are in {tmp_path}")
