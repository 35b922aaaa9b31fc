from pathlib import Path

import pytest

from starflow_v.cli.common.prompt_file import LONGEST_LINE, read_prompts


def written(folder: Path, content: bytes) -> Path:
    path = folder / "prompts.txt"
    path.write_bytes(content)
    return path


def test_blank_lines_and_comments_are_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, b"# two prompts\n\n  a red circle \r\n\t\n#x\na blue star")
    assert read_prompts(path) == ["a red circle", "a blue star"]


def test_a_byte_order_mark_and_any_script_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf" + "красный круг\n赤い丸\n".encode())
    assert read_prompts(path) == ["красный круг", "赤い丸"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no prompt"),
        (b"# only\n\n# comments\n", "holds no prompt"),
        (b"a red circle\n\n\xff\xfe broken\n", r"line 3 is not UTF-8 \(byte 1\)"),
        (b"a red circle\na \x00 circle\n", "line 2 holds control characters"),
        (b"a red circle\n" + b"x" * 1_000_000, f"line 2 is longer than {LONGEST_LINE}"),
    ],
)
def test_a_broken_file_is_refused_by_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_prompts(written(tmp_path, content))


def test_the_longest_line_is_still_a_prompt(tmp_path: Path) -> None:
    line = b"x" * (LONGEST_LINE - 1)
    assert read_prompts(written(tmp_path, line + b"\nred\n")) == [line.decode(), "red"]


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(ValueError, match="is not a file"):
            read_prompts(path)
