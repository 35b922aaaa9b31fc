"""What visitors do, without a browser, with a tiny model."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starflow_v.cli.common.record import read_record
from starflow_v.data.pixels import HIDDEN
from starflow_v.data.scenes import Region
from starflow_v.data.video_io import VideoWriter, read_image, read_video
from starflow_v.studio.asking import OWN_SIZE, read_wishes
from starflow_v.studio.line import Job, State
from starflow_v.studio.studio import ANIMATE, EDIT, EXTEND, MASK, SCORE, Place, Studio
from starflow_v.studio.workshop import Making

PROMPT = "a red circle"
PATIENCE = 60


def wishes(studio: Studio, **changes: object):
    asked = {"size": OWN_SIZE, "frames": 9, "guidance": 1.0, "solver": "sequential"} | changes
    return read_wishes(studio.choices, studio.limits, **asked)


def finish(job: Job) -> None:
    over = threading.Event()
    job.when_over(over.set)
    assert over.wait(PATIENCE)


def give_image(studio: Studio, folder: Path) -> None:
    Image.new("RGB", (48, 32), "red").save(folder / "picture.png")
    studio.receive("page", ANIMATE, folder / "picture.png")


def give_clip(studio: Studio, place: Place, folder: Path, frames: int = 9) -> None:
    with VideoWriter(folder / "clip.mp4", fps=8, overwrite=True) as writer:
        writer.write(np.full((frames, 32, 48, 3), 90, np.uint8))
    studio.receive("page", place, folder / "clip.mp4")


def test_a_video_is_made_frame_by_frame_and_kept_with_its_record(studio: Studio) -> None:
    job = studio.make("page", PROMPT, 7, wishes(studio))
    finish(job)
    assert job.state is State.DONE, job.failure
    assert job.progress is not None and job.progress.latents == len(job.progress.tiles) == 3
    (result,) = studio.sessions.of("page").results
    assert read_video(result.video).frames.shape == (9, 32, 48, 3)
    record = read_record(result.video.with_suffix(".json"))
    assert (record.task, record.clip.prompt, record.clip.seed) == ("generate", PROMPT, 7)
    assert record.command == "starflow-v studio"


def test_stopping_keeps_what_exists(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Making._advance

    def stop_after_two(job: Making, frames: np.ndarray) -> None:
        if job.progress is not None and job.progress.latents == 1:
            studio.stop("page")
        advance(job, frames)

    monkeypatch.setattr(Making, "_advance", stop_after_two)
    job = studio.make("page", PROMPT, 7, wishes(studio))
    finish(job)
    assert job.state is State.DONE and job.record is not None
    assert (job.record.frames, job.record.total_frames) == (5, 9)
    assert len(read_video(job.video).frames) == 5


def test_an_image_is_animated_beside_it(studio: Studio, tmp_path: Path) -> None:
    give_image(studio, tmp_path)
    job = studio.make("page", PROMPT, 7, wishes(studio), ANIMATE)
    finish(job)
    assert job.state is State.DONE, job.failure
    assert job.comparison is not None
    assert read_video(job.comparison).frames.shape == (9, 32, 48 * 2 + 4, 3)
    assert job.record is not None and list(job.record.given) == ["image"]


def test_a_clip_is_edited_by_forgetting(studio: Studio, tmp_path: Path) -> None:
    give_clip(studio, EDIT, tmp_path)
    job = studio.make("page", PROMPT, 7, wishes(studio, strength=0.5), EDIT)
    finish(job)
    assert job.state is State.DONE, job.failure
    assert job.record is not None and job.record.settings.strength == 0.5


def test_a_clip_goes_on(skilled: Studio, tmp_path: Path) -> None:
    give_clip(skilled, EXTEND, tmp_path)
    job = skilled.make("page", PROMPT, 7, wishes(skilled, frames=8), EXTEND)
    finish(job)
    assert job.state is State.DONE, job.failure
    assert job.record is not None and job.record.task == "extend"
    assert len(read_video(job.video).frames) == 9 + 8
    assert job.progress is not None and job.progress.latents == job.progress.total_latents == 5
    assert job.comparison is not None


HOLE = Region(0.0, 0.0, 0.5, 1.0)


def test_a_part_of_a_clip_is_filled_in_and_the_rest_stays(skilled: Studio, tmp_path: Path) -> None:
    give_clip(skilled, EDIT, tmp_path)
    job = skilled.make("page", PROMPT, 7, wishes(skilled), EDIT, hole=HOLE)
    finish(job)
    assert job.state is State.DONE, job.failure
    given = read_video(tmp_path / "clip.mp4").frames.astype(int)
    made = read_video(job.video).frames.astype(int)
    changes = np.abs(made - given).mean(axis=(0, 1, 3))
    assert changes[26:].max() < 3 < changes[:22].mean(), "what is kept went through the file only"
    (result,) = skilled.sessions.of("page").results
    assert list(result.sources) == ["source", "mask"]
    mask = read_image(result.sources["mask"])
    assert mask.shape == (32, 48, 3) and (mask[:, :24] == 255).all() and not mask[:, 24:].any()


def test_files_that_are_replaced_while_a_page_is_at_work_do_not_pile_up(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    monkeypatch.setattr(Making, "run", lambda job: hold.wait(PATIENCE))
    give_image(studio, tmp_path)
    job = studio.make("page", PROMPT, 7, wishes(studio), ANIMATE)
    for _ in range(3):
        give_image(studio, tmp_path)
    kept = {path.name for path in studio.sessions.of("page").folder.iterdir()}
    hold.set()
    finish(job)
    assert len(kept) == 2, "that of the job, and the newest one"


def test_a_mask_of_ones_own_comes_first(skilled: Studio, tmp_path: Path) -> None:
    give_clip(skilled, EDIT, tmp_path)
    drawn = np.zeros((32, 48, 3), np.uint8)
    drawn[:, 24:] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    mask = skilled.receive("page", MASK, tmp_path / "mask.png")
    seen = skilled.hidden("page", HOLE)
    assert seen is not None and (seen[:, 24:] == HIDDEN).all() and (seen[:, :24] != HIDDEN).any()
    job = skilled.make("page", PROMPT, 7, wishes(skilled), EDIT, hole=HOLE)
    finish(job)
    assert job.state is State.DONE, job.failure
    assert job.record is not None and Path(job.record.given["mask"].path) == mask.path
    skilled.receive("page", MASK, tmp_path / "mask.png")
    assert mask.path.exists(), "the record of the video names it"


def test_a_mask_of_another_size_is_refused_and_none_is_left(
    skilled: Studio, tmp_path: Path
) -> None:
    give_clip(skilled, EDIT, tmp_path)
    Image.new("RGB", (20, 20), "white").save(tmp_path / "mask.png")
    skilled.receive("page", MASK, tmp_path / "mask.png")
    job = skilled.make("page", PROMPT, 7, wishes(skilled), EDIT, hole=HOLE)
    finish(job)
    assert job.state is State.FAILED and "20x20 pixels and the clip 48x32" in job.failure
    skilled.forget("page", MASK)
    all_black = Region(0.0, 0.0, 1.0, 1.0, hides_inside=False)
    job = skilled.make("page", PROMPT, 7, wishes(skilled), EDIT, hole=all_black)
    finish(job)
    assert job.state is State.FAILED and "black all over" in job.failure
    assert not list(skilled.sessions.of("page").folder.glob("*.mask.png"))


def test_what_is_to_be_made_is_seen_before(skilled: Studio, tmp_path: Path) -> None:
    assert skilled.hidden("page", HOLE) is None
    give_clip(skilled, EDIT, tmp_path)
    seen = skilled.hidden("page", HOLE)
    assert seen is not None and seen.shape == (32, 48, 3)
    assert (seen[:, :24] == HIDDEN).all() and (seen[:, 24:] != HIDDEN).all()


def test_what_the_model_cannot_do_is_said_and_nothing_is_kept(
    studio: Studio, tmp_path: Path
) -> None:
    give_clip(studio, EDIT, tmp_path)
    job = studio.make("page", PROMPT, 7, wishes(studio), EDIT)
    finish(job)
    assert job.state is State.FAILED and "was not trained to edit" in job.failure
    assert studio.sessions.of("page").results == []


def test_a_clip_is_scored_frame_by_frame(studio: Studio, tmp_path: Path) -> None:
    give_clip(studio, SCORE, tmp_path, frames=11)
    job = studio.score("page", PROMPT, 2, 0)
    finish(job)
    assert job.state is State.DONE, job.failure
    assert job.found is not None
    given, score = job.found
    assert len(given.frames) == 9 and score.frame_bits.shape == (3,)


def test_what_is_missing_is_asked_for(studio: Studio) -> None:
    with pytest.raises(ValueError, match="Give an image first"):
        studio.make("page", PROMPT, 7, wishes(studio), ANIMATE)
    with pytest.raises(ValueError, match="Give a clip first"):
        studio.score("page", PROMPT, 4, 0)
    with pytest.raises(ValueError, match="Say what the video shows"):
        studio.make("page", "", 7, wishes(studio))


def test_a_page_has_one_job_and_two_pages_share_the_queue(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, held = threading.Event(), threading.Event()

    def wait(job: Making) -> None:
        held.set()
        hold.wait(PATIENCE)

    monkeypatch.setattr(Making, "run", wait)
    first = studio.make("one", PROMPT, 7, wishes(studio))
    second = studio.make("two", PROMPT, 7, wishes(studio))
    assert held.wait(PATIENCE) and studio.line.place(second) == 1
    with pytest.raises(ValueError, match="at work already"):
        studio.make("one", PROMPT, 8, wishes(studio))
    hold.set()
    finish(first)
    finish(second)


def test_a_page_that_is_closed_stops_its_work_and_takes_its_files_along(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closed = threading.Event(), threading.Event()
    advance = Making._advance

    def wait_for_the_end(job: Making, frames: np.ndarray) -> None:
        begun.set()
        assert closed.wait(PATIENCE)
        advance(job, frames)

    monkeypatch.setattr(Making, "_advance", wait_for_the_end)
    job = studio.make("page", PROMPT, 7, wishes(studio))
    folder = studio.sessions.of("page").folder
    assert begun.wait(PATIENCE)
    studio.leave("page")
    assert folder.exists(), "the job still writes there"
    closed.set()
    finish(job)
    assert job.progress is not None and job.progress.frames == 1, "it stopped at the next frame"
    assert not folder.exists()
    assert len(studio.sessions) == 0, "nobody comes back by what is left of the job"


def test_a_file_that_is_replaced_goes_unless_a_video_needs_it(
    studio: Studio, tmp_path: Path
) -> None:
    session = studio.sessions.of("page")
    give_image(studio, tmp_path)
    first = session.uploads["animate"].path
    give_image(studio, tmp_path)
    second = session.uploads["animate"].path
    assert not first.exists() and second.exists()
    job = studio.make("page", PROMPT, 7, wishes(studio, frames=1), ANIMATE)
    finish(job)
    give_image(studio, tmp_path)
    assert second.exists(), "the record of the video names it"
