from pathlib import Path

import pytest

from starflow_v.cli.common.names import clip_name, record_path, slug

WILD = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "-rf *",
    "a" * 5000,
    "a/b\\c:d|e?f\x00g\nh",
    "CON",
    "赤い丸",
    "",
    "%s {0} $HOME `id`",
    ".hidden",
    "\ud800",
]


@pytest.mark.parametrize("prompt", WILD)
def test_any_prompt_makes_a_plain_file_name(prompt: str, tmp_path: Path) -> None:
    name = clip_name(prompt, 2**63, index=0)
    assert Path(name).name == name
    assert name[0].isdigit() and name.endswith(".mp4") and len(name) < 120
    (tmp_path / name).write_bytes(b"")


def test_prompts_that_look_alike_do_not_share_a_name() -> None:
    names = {clip_name(prompt, 1 + i, index=i) for i, prompt in enumerate(["a b", "a-b", "A, b!"])}
    assert len(names) == 3


def test_accents_are_dropped_and_words_are_not_cut_to_hyphens() -> None:
    assert slug("Das Mädchen's Déjà-vu") == "das-madchens-deja-vu"
    assert not slug("x " * 100).endswith("-")


def test_the_record_lies_beside_the_video() -> None:
    assert record_path(Path("a/b.c.mp4")) == Path("a/b.c.json")
    assert record_path(Path("frames")) == Path("frames.json")
