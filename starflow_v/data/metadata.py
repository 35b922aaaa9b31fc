"""`metadata.jsonl` or `metadata.csv`: which file of a folder has which caption.

    {"file_name": "clips/bike.mp4", "text": "a man rides a bike"}
    {"file_name": "cat.png", "text": ["a cat", "a grey cat sleeps"]}
    {"target": "snow.mp4", "source": "street.mp4", "text": "make it snow"}

`text` is a caption, or in JSON several wordings of it. `target` is another name for `file_name`
where there is a `source`. Names are paths inside the folder: a metadata file that names anything
outside of it is refused as a whole, because who writes such a file is not to be trusted with the
rest. Captions are UTF-8 and never empty.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from starflow_v.data.records import LocalFile, Record, is_image, is_video

JSONL, CSV = "metadata.jsonl", "metadata.csv"


def read_folder(folder: str | Path) -> list[Record]:
    """The records of a folder, in the order of its metadata.

    Raises:
        ValueError: there is no folder, no metadata or no record in it, or a line of the metadata
            is not as it should be; the message names the line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"the data folder {folder} is not a folder: give one that holds videos")
    found = [folder / name for name in (JSONL, CSV) if (folder / name).is_file()]
    if len(found) != 1:
        what = "both" if found else "neither"
        raise ValueError(
            f"{folder} holds {what} {JSONL} {'and' if found else 'nor'} {CSV}: expected one of "
            'them, with a line such as {"file_name": "a.mp4", "text": "what it shows"} for each '
            "video or image"
        )
    (path,) = found
    rows = _jsonl_rows(path) if path.name == JSONL else _csv_rows(path)
    records = [_record(folder.resolve(), row, where) for where, row in rows]
    if not records:
        raise ValueError(f"{path} is empty: expected a line for each video or image")
    return records


def caption_of(value: Any, where: str) -> tuple[str, ...]:
    """A caption, or a list of its wordings, checked."""
    wordings = value if isinstance(value, list) and value else [value]
    for wording in wordings:
        if not isinstance(wording, str) or not wording.strip() or not _is_unicode(wording):
            raise ValueError(f"{where}: the caption is {wording!r}; expected words as `text`")
    return tuple(" ".join(wording.split()) for wording in wordings)


def decode_text(content: bytes, where: str) -> str:
    """UTF-8, or an error that says where it is not."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 ({error.reason}); save it as UTF-8") from error


def parse_json(text: str, where: str) -> Any:
    """JSON, or an error that says where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error})") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where a row stands, and its values."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            text = decode_text(line, where)
            if not text.strip():
                continue
            row = parse_json(text, where)
            if not isinstance(row, dict):
                raise ValueError(f'{where}: expected {{"file_name": ..., "text": ...}}')
            yield where, row


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The same from a table whose first line names its columns."""
    with path.open("rb") as lines:
        texts = (
            decode_text(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)
        )
        table = csv.DictReader(texts, strict=True)
        try:
            for row in table:
                yield f"{path}, line {table.line_num}", row
        except csv.Error as error:
            raise ValueError(f"{path}, line {table.line_num}: not CSV ({error})") from error


def _record(folder: Path, row: Mapping[str, Any], where: str) -> Record:
    """The record of a row; `folder` is resolved."""
    target, source = row.get("target") or row.get("file_name"), row.get("source") or None
    if target is None:
        raise ValueError(f"{where}: no file_name; got the columns {', '.join(map(str, row))}")
    return Record(
        medium=_file(folder, target, where),
        captions=caption_of(row.get("text"), where),
        source=None if source is None else _file(folder, source, where),
    )


def _file(folder: Path, name: Any, where: str) -> LocalFile:
    """A file inside the folder. It need not exist: a missing one is skipped when it is read."""
    is_name = isinstance(name, str) and _is_unicode(name) and "\0" not in name
    if not is_name or not (is_video(name) or is_image(name)):
        raise ValueError(f"{where}: {name!r} is not the name of a video or an image")
    if not _is_inside(folder, name):
        raise ValueError(
            f"{where}: {name!r} is outside of the folder {folder}; all files of a data set must be "
            "inside its folder, by relative names (links that lead out are refused too)"
        )
    return LocalFile(name, folder / name)


def _is_unicode(text: str) -> bool:
    """JSON can escape half a character, which nobody can write down."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_inside(folder: Path, name: str) -> bool:
    relative, windows = PurePosixPath(name), PureWindowsPath(name)
    if relative.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        return False
    return (folder / name).resolve().is_relative_to(folder)
