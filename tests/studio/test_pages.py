import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from starflow_v.studio import pages
from starflow_v.studio.curve import line_chart
from starflow_v.studio.line import State
from starflow_v.studio.session import Result
from starflow_v.studio.studio import Studio
from starflow_v.studio.uploads import Upload
from tests.studio.test_session import add
from tests.studio.test_studio import finish, wishes

HOSTILE = "<img src=x onerror=alert(1)> ${alert(1)} {{value}} `x` \" ' \\"


def test_what_visitors_write_is_neither_html_nor_a_template() -> None:
    escaped = pages.plain(HOSTILE)
    assert not set(escaped) & set("<>\"'${}`\\")
    assert ElementTree.fromstring(f"<p>{escaped}</p>").text == HOSTILE


def test_cards_hold_links_to_the_files_and_the_prompt_as_text(studio: Studio) -> None:
    result: Result = add(studio.sessions.of("page"))
    html = pages.gallery([result])
    assert f'href="{pages.link(result.video)}"' in html and "seed 7" in html
    assert f'href="{pages.link(result.video.with_suffix(".json"))}"' in html
    assert pages.gallery([]) == ""


def test_a_clip_is_shown_without_what_is_to_be_made() -> None:
    assert pages.hole(None) == ""
    assert "gray is to be made" in pages.hole(np.zeros((32, 48, 3), np.uint8))


def test_addresses_are_quoted() -> None:
    assert pages.link(Path('/tmp/a b"c.mp4')) == "gradio_api/file=/tmp/a%20b%22c.mp4"


def test_a_job_is_told_from_the_queue_to_its_end(studio: Studio) -> None:
    job = studio.make("page", "a red circle", 7, wishes(studio))
    job.state, before = State.WAITING, job.state
    assert "<b>2</b> before you" in pages.figures(job, 2)
    job.state = before
    finish(job)
    told = pages.figures(job, 0)
    assert "Done" in told and "latent frame <b>3</b> of 3" in told
    assert "frames per second" in told and "first frame after" in told
    shown = pages.screen(job)
    assert pages.link(job.video) in shown and shown.count("<img") == 3, "a picture a latent frame"


def test_a_video_that_grows_is_shown_with_places_for_what_comes(studio: Studio) -> None:
    job = studio.make("page", "a red circle", 7, wishes(studio))
    finish(job)
    assert job.progress is not None
    job._over.clear()  # as it was after the first frame
    job.state = State.RUNNING
    job.progress = replace(job.progress, frames=1, latents=1, tiles=job.progress.tiles[:1])
    shown = pages.screen(job)
    assert "the video so far" in shown and "<video" not in shown
    assert shown.count("<i>") == 2
    assert "latent frame <b>1</b> of 3" in pages.figures(job, 0)
    job.end(State.DONE)


def test_failures_are_alerts() -> None:
    assert 'role="alert"' in pages.notice("no", bad=True)
    assert 'role="status"' in pages.notice("yes")


def test_a_file_is_shown_as_the_model_sees_it() -> None:
    upload = Upload(
        path=Path("x"),
        name="<my clip>.mp4",
        count=9,
        size=(32, 48),
        own_size=(32, 48),
        shown=np.zeros((9, 32, 48, 3), np.uint8),
    )
    html = pages.given(upload, 8)
    assert "&lt;my clip&gt;.mp4" in html and "48×32, 9 frames" in html


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_the_curve_has_a_point_a_frame_within_its_picture(count: int) -> None:
    values = [float(np.sin(it)) for it in range(count)]
    chart, _, _ = line_chart(values, [0.1] * count).partition("<p ")
    svg = ElementTree.fromstring(chart)
    across = [float(dot.get("cx", "nan")) for dot in svg.iter("circle")]
    down = [float(dot.get("cy", "nan")) for dot in svg.iter("circle")]
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    assert len(across) == count and across == sorted(across)
    assert min(across) > 0 and max(across) < width and min(down) > 0 and max(down) < height
    assert np.argmax(values) == np.argmin(down), "more bits are higher up"


def test_a_single_draw_has_no_bars_of_error() -> None:
    assert "error" not in line_chart([1.0, 2.0], [float("nan")] * 2)
    assert not re.search("nan|inf", line_chart([1.0, 1.0], [0.0, 0.0]))
