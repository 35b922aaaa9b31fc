from pathlib import Path

import pytest

from starflow_v.assets import embedded_model
from starflow_v.data.video_io import read_video
from starflow_v.studio.examples import make_examples
from starflow_v.studio.words import glossary, grouped, warning
from starflow_v.studio.workshop import Workshop
from starflow_v.text import known_words, load_tokenizer, unknown_words


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(str(embedded_model() / "tokenizer"))


def test_every_word_is_in_one_group(tokenizer) -> None:
    groups = grouped(tokenizer)
    words = [word for group in groups.values() for word in group]
    assert sorted(words) == known_words(tokenizer)
    assert "turquoise" in groups["Colours"] and "star" in groups["Shapes"]
    assert "<dt>Colours</dt>" in glossary(tokenizer)


def test_words_that_it_has_never_seen_are_named(tokenizer) -> None:
    assert warning(tokenizer, "a red circle moves right") == ""
    assert warning(tokenizer, "a red dinosaur") == "The model has never seen: dinosaur."
    many = " ".join(f"word{chr(97 + it)}" for it in range(12))
    assert warning(tokenizer, many).endswith(" and 4 more.")
    assert len(warning(tokenizer, "x" * 2000)) < 80


def test_models_without_words_of_their_own_say_nothing() -> None:
    assert glossary(None) == "" and warning(None, "a dinosaur") == ""


def test_examples_hold_what_the_model_knows(workshop: Workshop, tmp_path: Path) -> None:
    made = make_examples(workshop.pipe, tmp_path / "examples")
    groups = (made.generate, made.animate, made.extend, made.edit, made.score)
    tokenizer = workshop.pipe.tokenizer
    assert not any(unknown_words(tokenizer, it.prompt) for group in groups for it in group)


def test_examples_of_the_embedded_model_are_there_for_every_tab(
    workshop: Workshop, tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop.pipe, "tokenizer", tokenizer)
    made = make_examples(workshop.pipe, tmp_path / "examples")
    groups = (made.generate, made.animate, made.extend, made.edit, made.score)
    assert [len(it) for it in groups] == [3, 2, 2, 4, 2]
    holes = [it.hole for it in made.edit]
    assert holes[:2] == [None, None] and holes[2] and holes[3]
    assert holes[2].hides_inside and not holes[3].hides_inside
    upload = made.edit[0].upload
    assert upload is not None and len(read_video(upload.path).frames) == upload.count == 9
