"""Any prompt is a name that stays in its folder."""

import re
from pathlib import Path

import pytest

from starflow_v.data.names import safe_name

PROMPTS = [
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\con",
    "a" * 5000,
    "ein größer Kreis — 日本語 🎬",
    "日本語",
    "",
    "nul\0byte\nand lines",
    "-rf *",
    "CON",
    ".hidden",
    "\ud800",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_names_are_plain(tmp_path: Path, prompt: str) -> None:
    name = safe_name(prompt, index=7, seed=123)
    assert re.fullmatch(r"0007_123_[a-z0-9_-]+", name)
    assert len(name) < 100
    (tmp_path / f"{name}.mp4").touch()
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


def test_names_differ_where_prompt_index_or_seed_do() -> None:
    cases = [(p, i, s) for p in [*PROMPTS, "a b", "a-b", "A B"] for i in (0, 1) for s in (0, 1)]
    assert len({safe_name(p, index=i, seed=s) for p, i, s in cases}) == len(cases)
