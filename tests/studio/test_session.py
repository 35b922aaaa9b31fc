import json
from pathlib import Path

import pytest

from starflow_v.cli.common.names import record_path
from starflow_v.cli.common.record import read_record
from starflow_v.studio.limits import Limits
from starflow_v.studio.session import Result, Sessions

RECORD = {
    "task": "generate",
    "given": {},
    "negative_prompt": None,
    "height": 32,
    "width": 48,
    "num_frames": 9,
    "frame_rate": 8,
    "guidance_scale": 1.0,
    "solver": "sequential",
    "block_size": None,
    "tolerance": None,
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
    "batch": [{"prompt": "a circle", "seed": 7}],
    "batch_index": 0,
    "model": {"path": "model", "sha256": {}},
    "versions": {},
    "command": "starflow-v studio",
    "seconds": 1.0,
    "frames": 9,
    "total_frames": 9,
}


def add(session, prompt: str = "a circle") -> Result:
    video = session.video_path(prompt, 7)
    video.write_bytes(b"video")
    record_path(video).write_text(json.dumps(RECORD))
    result = Result(video=video, record=read_record(record_path(video)))
    session.add(result)
    return result


def test_pages_do_not_meet_and_their_folders_cannot_be_guessed(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, Limits())
    one, other = sessions.of("one"), sessions.of("other")
    assert sessions.of("one") is one is not other
    assert one.folder != other.folder and len(one.folder.name) >= 22
    assert "one" not in one.folder.name
    assert sessions.find("nobody") is None


@pytest.mark.parametrize("prompt", ["../../etc/passwd", "a/b\\c\0d", "🎈" * 500, "con.mp4 " * 99])
def test_no_prompt_bends_the_name_of_a_file(tmp_path: Path, prompt: str) -> None:
    session = Sessions(tmp_path, Limits()).of("page")
    first, second = session.video_path(prompt, 7), session.video_path(prompt, 7)
    assert first.parent == second.parent == session.folder and first != second
    first.write_bytes(b"")


def test_old_results_go_with_their_files(tmp_path: Path) -> None:
    session = Sessions(tmp_path, Limits(results=2)).of("page")
    first, second, third = (add(session) for _ in range(3))
    assert session.results == [third, second]
    assert not first.video.exists() and not record_path(first.video).exists()
    assert second.video.exists()


def test_a_page_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, Limits())
    add(sessions.of("page"))
    session = sessions.take("page")
    assert session is not None
    session.close()
    assert list(tmp_path.iterdir()) == [] and sessions.take("page") is None and len(sessions) == 0
