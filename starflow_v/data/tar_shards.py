"""WebDataset shards: tar archives in which files with a common stem make one example.

    shard-000000.tar:  0001.mp4 0001.txt   0002.mp4 0002.json   0003.source.mp4 0003.mp4 0003.txt

The caption is in `.txt`, or the `text` of `.json`; `.source.mp4` (any video suffix) is what a
video-to-video pair starts from. The library `webdataset` (`pip install 'starflow_v[webdataset]'`)
expands braces and groups members into examples by its rules; archives are opened here, as plain
local files, because the library's own opener also runs commands and opens addresses. Members are
found by their places, so archives must not be compressed.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from starflow_v.data.metadata import caption_of, decode_text, parse_json
from starflow_v.data.records import Record, TarMember, is_image, is_video
from starflow_v.data.video_io.safety import MediaError, open_plain_file

TEXT_SUFFIXES = ("txt", "json")
SOURCE = "source."
LONGEST_TEXT = 1 << 20
"""Bytes of a .txt or .json; more is no caption."""


def read_tar_shards(pattern: str) -> list[Record]:
    """The records of archives, in order.

    Args:
        pattern: path of an archive, braces expanded: `data/shard-{000000..000099}.tar`.

    Raises:
        ValueError: an archive or a caption cannot be read; the message names it.
    """
    library = _webdataset()
    records: list[Record] = []
    for name in library.shardlists.expand_urls(pattern):
        archive = Path(name)
        samples = library.tariterators.group_by_keys(_members(archive))
        records += [_record(archive, sample) for sample in samples]
    if not records:
        raise ValueError(f"the shards {pattern} hold no example: expected pairs of .mp4 and .txt")
    return records


def _members(archive: Path) -> Iterator[Mapping[str, Any]]:
    """Members as the library groups them; of media only the place, of texts the content."""
    try:
        with open_plain_file(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if not member.isreg() or member.issparse():
                    continue
                data: TarMember | bytes | None = None
                if is_video(member.name) or is_image(member.name):
                    name = f"{archive.name}/{member.name}"
                    data = TarMember(name, archive, member.offset_data, member.size)
                elif member.name.lower().endswith(TEXT_SUFFIXES):
                    content = tar.extractfile(member)
                    data = content.read(LONGEST_TEXT) if content is not None else b""
                if data is not None:
                    yield {"fname": member.name, "data": data, "__url__": str(archive)}
    except (tarfile.TarError, MediaError) as error:
        raise ValueError(f"the shard {archive} is no uncompressed tar archive: {error}") from error


def _record(archive: Path, sample: Mapping[str, Any]) -> Record:
    """The record of one group of members."""
    where = f"{archive}, example {sample['__key__']}"
    media = {key: value for key, value in sample.items() if isinstance(value, TarMember)}
    sources = [media.pop(key) for key in list(media) if key.startswith(SOURCE)]
    if len(media) != 1 or len(sources) > 1:
        raise ValueError(f"{where}: expected one video or image, got {', '.join(media) or 'none'}")
    (target,) = media.values()
    source = sources[0] if sources else None
    return Record(medium=target, captions=_captions(sample, where), source=source)


def _captions(sample: Mapping[str, Any], where: str) -> tuple[str, ...]:
    if "txt" in sample:
        return caption_of(decode_text(sample["txt"], f"{where}.txt"), where)
    if "json" in sample:
        values = parse_json(decode_text(sample["json"], f"{where}.json"), f"{where}.json")
        return caption_of(values.get("text") if isinstance(values, dict) else None, where)
    raise ValueError(f"{where}: no caption; expected a .txt, or a .json with `text`")


def _webdataset() -> ModuleType:
    try:
        import webdataset
        import webdataset.shardlists
        import webdataset.tariterators
    except ImportError as error:
        raise ValueError(
            "data.webdataset needs the library webdataset, which is not installed. Install it by "
            "pip install 'starflow_v[webdataset]', or unpack the shards and give data.folder"
        ) from error
    return webdataset
