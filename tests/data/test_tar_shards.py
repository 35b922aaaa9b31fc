"""WebDataset shards: examples by the library's rules, opened as plain files alone."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from starflow_v.data.tar_shards import read_tar_shards
from starflow_v.data.video_io import MediaError

webdataset = pytest.importorskip("webdataset")


def test_examples_that_the_library_wrote_are_read(tmp_path: Path) -> None:
    pattern = str(tmp_path / "s-%02d.tar")
    with webdataset.ShardWriter(pattern, maxcount=2, verbose=0) as writer:
        writer.write({"__key__": "a/1", "mp4": b"one", "txt": "a cat"})
        pair = {"mp4": b"new", "source.mp4": b"old", "json": {"text": ["make it red", "redden"]}}
        writer.write({"__key__": "a/2", **pair})
        writer.write({"__key__": "3", "PNG": b"three", "txt": "a dog", "cls": b"7"})
    first, second, third = read_tar_shards(str(tmp_path / "s-{00..01}.tar"))
    assert (first.name, first.captions) == ("s-00.tar/a/1.mp4", ("a cat",))
    assert second.captions == ("make it red", "redden")
    assert third.serves("image") and not third.serves("video")
    assert second.source is not None
    for medium, content in (
        (first.medium, b"one"),
        (second.medium, b"new"),
        (second.source, b"old"),
        (third.medium, b"three"),
    ):
        with medium.opened() as path:
            assert path.read_bytes() == content
            assert path.suffix.lower() == Path(medium.name).suffix.lower()
        assert not path.exists()


def archive(path: Path, members: dict[str, bytes], mode: str = "w") -> str:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.mp4": b"a"}, "example 1: no caption"),
        ({"1.mp4": b"a", "1.txt": b" "}, "example 1: the caption is ' '"),
        ({"1.mp4": b"a", "1.txt": b"caf\xe9"}, r"example 1\.txt: not UTF-8"),
        ({"1.mp4": b"a", "1.json": b"{"}, r"example 1\.json: not JSON"),
        ({"1.mp4": b"a", "1.json": json.dumps({"words": "a"}).encode()}, "the caption is None"),
        ({"1.mp4": b"a", "1.png": b"a", "1.txt": b"a"}, "got mp4, png"),
        ({"1.txt": b"a"}, "got none"),
        ({"readme": b"a"}, "hold no example"),
    ],
)
def test_bad_examples_are_named(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_tar_shards(archive(tmp_path / "s.tar", members))


def test_only_plain_archives_are_opened(tmp_path: Path) -> None:
    """The library's own opener runs `pipe:` commands."""
    squeezed = archive(tmp_path / "s.tar.gz", {"1.mp4": b"a", "1.txt": b"a"}, "w:gz")
    ran = tmp_path / "ran"
    for pattern in (squeezed, f"pipe:touch {ran}", "http://localhost/s.tar", str(tmp_path / "no")):
        with pytest.raises(ValueError, match="no uncompressed tar archive"):
            read_tar_shards(pattern)
    assert not ran.exists()


def test_an_archive_that_shrank_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    (record,) = read_tar_shards(archive(path, {"1.txt": b"a", "1.mp4": b"a" * 5000}))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MediaError, match="ends inside it"), record.medium.opened():
        pass
