"""Folders of files with captions: what is read, and what is refused."""

import json
from pathlib import Path

import pytest

from starflow_v.data.buckets import OF_PAIRS
from starflow_v.data.metadata import read_folder
from starflow_v.data.records import split_held_out


def write(folder: Path, *rows: object, name: str = "metadata.jsonl") -> Path:
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder


def test_captions_wordings_stills_and_pairs_are_read(tmp_path: Path) -> None:
    rows = [
        {"file_name": "a/bike.mp4", "text": "a man  rides\na bike"},
        {"file_name": "cat.PNG", "text": ["a cat", "eine Katze, 猫"]},
        {"target": "snow.mp4", "source": "street.mp4", "text": "make it snow"},
    ]
    video, still, pair = read_folder(write(tmp_path, *rows))
    assert (video.name, video.captions) == ("a/bike.mp4", ("a man rides a bike",))
    assert still.captions == ("a cat", "eine Katze, 猫")
    assert pair.source is not None and pair.source.name == "street.mp4"
    tasks = ("video", "image", "extend", "last", "v2v", "v2v_start", "v2v_image")
    assert [task for task in tasks if video.serves(task)] == ["video", "image", "extend", "last"]
    assert [task for task in tasks if still.serves(task)] == ["image"]
    assert [task for task in tasks if pair.serves(task)] == list(OF_PAIRS)


def test_a_table_says_the_same(tmp_path: Path) -> None:
    table = '\ufefffile_name,text,source\na.mp4,"red, and\nround",\nb.mp4,make it red,a.mp4\n'
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8")
    first, second = read_folder(tmp_path)
    assert (first.captions, first.source) == (("red, and round",), None)
    assert second.source is not None and second.source.name == "a.mp4"


@pytest.mark.parametrize(
    "name", ["/etc/a.mp4", "../a.mp4", "b/../../a.mp4", "C:\\a.mp4", "\\a.mp4"]
)
@pytest.mark.parametrize("key", ["file_name", "source"])
def test_names_outside_of_the_folder_are_refused(tmp_path: Path, name: str, key: str) -> None:
    row = {"file_name": "a.mp4", "text": "a", key: name}
    with pytest.raises(ValueError, match=r"line 2.*outside of the folder"):
        read_folder(write(tmp_path, {"file_name": "a.mp4", "text": "a"}, row))


def test_links_that_lead_out_are_refused_and_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"1")
    (folder / "real.mp4").write_bytes(b"1")
    (folder / "inside.mp4").symlink_to(folder / "real.mp4")
    (folder / "leak.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "up").symlink_to(tmp_path)
    assert len(read_folder(write(folder, {"file_name": "inside.mp4", "text": "a"}))) == 1
    for name in ("leak.mp4", "up/secret.mp4"):
        with pytest.raises(ValueError, match="outside of the folder"):
            read_folder(write(folder, {"file_name": name, "text": "a"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"file_name": "a.mp4"}', "line 1: the caption is None"),
        (b'\n{"file_name": "a.mp4", "text": " "}', "line 2: the caption is ' '"),
        (b'{"file_name": "a.mp4", "text": []}', r"the caption is \[\]"),
        (b'{"file_name": "a.mp4", "text": "\\ud800"}', "the caption is"),
        (b'{"file_name": "a.mp4", "text": "caf\xe9"}', "line 1: not UTF-8"),
        (b'{"file_name": "a.mp4", "text"', "line 1: not JSON"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b'"a.mp4"', "line 1: expected"),
        (b'{"name": "a.mp4", "text": "a"}', "no file_name; got the columns name, text"),
        (b'{"file_name": 3, "text": "a"}', "3 is not the name of a video or an image"),
        (b'{"file_name": "a.exe", "text": "a"}', "not the name of a video"),
        (b'{"file_name": "a\\u0000.mp4", "text": "a"}', "not the name of a video"),
        (b"\n\n", "is empty"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "metadata.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(b'file_name,text\na.mp4,"caf\xe9"\n')
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_folder(tmp_path)
    (tmp_path / "metadata.csv").write_bytes(b'file_name,text\na.mp4,"no end\n')
    with pytest.raises(ValueError, match="not CSV"):
        read_folder(tmp_path)


def test_a_folder_needs_one_metadata_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds neither metadata\.jsonl nor metadata\.csv"):
        read_folder(tmp_path)
    write(write(tmp_path, {"file_name": "a.mp4", "text": "a"}), name="metadata.csv")
    with pytest.raises(ValueError, match="holds both"):
        read_folder(tmp_path)


def test_what_is_held_out_stays_so_when_files_come(tmp_path: Path) -> None:
    rows = [{"file_name": f"{i}.mp4", "text": "a"} for i in range(100)]
    few, many = read_folder(write(tmp_path, *rows[:60])), read_folder(write(tmp_path, *rows))
    kept = [{it.name for it in split_held_out(it, 0.1, seed=0)[1]} for it in (few, many)]
    assert 1 <= len(kept[0]) < len(kept[1]) < 25
    assert kept[0] <= kept[1]
    assert len(split_held_out(few, 1e-9, seed=0)[1]) == 1
    assert split_held_out(few, 0, seed=0) == (few, [])
