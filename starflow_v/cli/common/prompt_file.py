"""A file of prompts: one a line, in UTF-8; blank lines and lines that begin with # are skipped."""

from pathlib import Path

LONGEST_LINE = 20_000
"""Bytes; a longer line is no prompt but the wrong file."""


def read_prompts(path: Path) -> list[str]:
    """The prompts of `path` in order; a `ValueError` names the first line that is broken."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file; expected a text file with one prompt a line")
    prompts = []
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            prompt = _parse(line, where=f"{path}, line {number}")
            if prompt and not prompt.startswith("#"):
                prompts.append(prompt)
    if not prompts:
        raise ValueError(f"{path} holds no prompt; expected one a line (lines with # are comments)")
    return prompts


def _parse(line: bytes, *, where: str) -> str:
    if len(line) > LONGEST_LINE:
        raise ValueError(
            f"{where} is longer than {LONGEST_LINE} bytes; expected one short prompt a line"
        )
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where} is not UTF-8 (byte {error.start + 1}); save the file as UTF-8"
        ) from None
    if any(character != "\t" and ord(character) < 32 for character in text):
        raise ValueError(f"{where} holds control characters; expected text, one prompt a line")
    return text
