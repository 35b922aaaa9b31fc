"""Classes as texts of length one."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from starflow_v import LabelEncoder


def test_names_numbers_and_nothing() -> None:
    encoder = LabelEncoder(["cat", "dog"], width=4)
    assert encoder.numbers(["dog", 0, "", "cat"]).tolist() == [1, 0, 2, 0]
    embeddings = encoder(encoder.numbers(["dog", "", 1]))
    assert embeddings.shape == (3, 1, 4)
    assert_close(embeddings[0], embeddings[2])
    assert not torch.equal(embeddings[0], embeddings[1])


@pytest.mark.parametrize("label", ["bird", 2, 3, -1, 0.5])
def test_other_classes_are_refused(label) -> None:
    with pytest.raises(ValueError, match="cat, dog"):
        LabelEncoder(["cat", "dog"]).numbers([label])


def test_without_classes_there_is_nothing_alone() -> None:
    encoder = LabelEncoder([], width=4)
    assert encoder(encoder.numbers(["", ""])).shape == (2, 1, 4)
    with pytest.raises(ValueError, match="unconditional"):
        encoder.numbers(["cat"])


@pytest.mark.parametrize("labels", [["a", "a"], [""]])
def test_classes_need_names_of_their_own(labels) -> None:
    with pytest.raises(ValueError, match="its own name"):
        LabelEncoder(labels)


def test_a_saved_encoder_is_the_same(tmp_path: Path) -> None:
    encoder = LabelEncoder(["cat", "dog"], width=4)
    encoder.save_pretrained(tmp_path)
    loaded = LabelEncoder.from_pretrained(tmp_path)
    assert loaded.labels == ["cat", "dog"]
    assert_close(loaded.embedding.weight, encoder.embedding.weight)
