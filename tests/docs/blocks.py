"""The programs and commands in the texts, as their tests see them.

A block that cannot be run says so in the line before it, `<!-- not run: reason -->`: it is parsed.
One that is a file of the reader's has its name there, `<!-- file: name -->`: commands may use it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = {"python", "sh", "json", "yaml", "text"}
FENCE = re.compile(
    r"(?:^<!-- (?:not run: (?P<reason>[^\n]+)|file: (?P<file>\S+)) -->\n)?"
    r"^```(?P<language>\S*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
MODULE = "starflow_v.cli.main"
INLINE = re.compile(r"`((?:starflow-v|python|pytest|make|pip) [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: its file, relative to the repository.
        line: where it begins.
        language: what stands after the fence.
        text: what is in it.
        reason: why it is not run; `None`: it is.
        file: under which name it is kept instead.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None
    file: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def lines(self) -> list[str]:
        """Of a shell block: its commands, continued lines joined, without comments."""
        joined = self.text.replace("\\\n", " ").splitlines()
        return [line for line in joined if shlex.split(line, comments=True)]


def pages() -> list[Path]:
    """Every text with programs: README.md, the documentation and the demos' page."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [path for path in (ROOT / "README.md", ROOT / "demos/README.md", *docs) if path.exists()]


def blocks_of(path: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = path.read_text("utf-8")
    return [
        Block(
            page=path.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            text=match["text"],
            reason=match["reason"],
            file=match["file"],
        )
        for match in FENCE.finditer(text)
    ]


def blocks(*languages: str) -> list[Block]:
    """All blocks of some languages."""
    return [it for path in pages() for it in blocks_of(path) if it.language in languages]


def inline_commands() -> Iterator[tuple[str, str]]:
    """(page, command) of every command that stands in running text."""
    for path in pages():
        prose = FENCE.sub("", path.read_text("utf-8"))
        for command in INLINE.findall(prose):
            yield path.relative_to(ROOT).as_posix(), " ".join(command.split())


def arguments_of(command: str) -> list[str] | None:
    """What `starflow-v` is given, also under a launcher; `None` if it is another program."""
    words = shlex.split(command, comments=True)
    if words[0] == "starflow-v":
        return words[1:]
    return words[words.index(MODULE) + 1 :] if MODULE in words else None
