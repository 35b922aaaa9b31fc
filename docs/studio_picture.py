"""Draw the picture of docs/studio.md: the studio in the middle of a video.

    python docs/studio_picture.py

It needs the extras studio and dev, and the system's Chromium.
"""

from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.studio.browser import browser, open_tab, served, tiles_seen, visit

PICTURE = Path(__file__).parent / "images" / "studio.webp"
PROMPTS = (
    "a big red circle bounces on a white background",
    "a big yellow square moves up and left on a blue background",
)
FRAMES = 33
"""Of the second one: long enough to be met half-way."""
SHOWN = 5
"""Latent frames that are there when the picture is taken."""


def main() -> None:
    """The first video is for the gallery; the picture shows the second one being made."""
    with served() as (url, _), browser() as chromium, visit(chromium, url, height=980) as page:
        tab = open_tab(page, "Generate")
        for prompt in PROMPTS:
            tab.get_by_label("What the video shows").fill(prompt)
            tab.get_by_role("button", name="Settings").click()
            tab.get_by_label("Seed").fill("0")
            if prompt == PROMPTS[-1]:
                tab.get_by_label("number input for Frames").fill(str(FRAMES))
            tab.get_by_role("button", name="Settings").click()
            tab.get_by_role("button", name="Generate", exact=True).click()
            tab.locator(".tiles i").first.wait_for()
            if prompt != PROMPTS[-1]:
                page.locator(".card").first.wait_for()
        tiles_seen(tab, until=SHOWN)
        image = Image.open(BytesIO(page.screenshot()))
        assert tab.locator(".tiles i").count(), "some are still to come"
    image.convert("RGB").save(PICTURE, quality=80, method=6)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
