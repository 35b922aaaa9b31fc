from pathlib import Path

import pytest

from starflow_v.cli.common.given import describe_files, unchanged_files


def test_a_file_that_is_gone_is_found_beside_the_record(tmp_path: Path) -> None:
    """The studio's files go with its page; whoever keeps one with the record can go on."""
    first, kept = tmp_path / "first", tmp_path / "kept"
    first.mkdir()
    kept.mkdir()
    image = first / "0001-given.png"
    image.write_bytes(b"pixels")
    given = describe_files({"image": image})
    assert unchanged_files(given, beside=kept) == {"image": image}
    image.rename(kept / image.name)
    assert unchanged_files(given, beside=kept) == {"image": kept / image.name}


def test_a_file_that_has_changed_is_refused_wherever_it_is(tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(b"pixels")
    given = describe_files({"image": image})
    image.write_bytes(b"others")
    with pytest.raises(ValueError, match="has changed since"):
        unchanged_files(given, beside=tmp_path)
    image.unlink()
    with pytest.raises(ValueError, match="cannot be opened"):
        unchanged_files(given, beside=tmp_path)
