import json
import math
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5EncoderModel

from starflow_v.text import (
    ASPECT_RATIOS,
    Conditions,
    encode_captions,
    known_words,
    nearest_aspect_ratio,
    size_for,
    tiny_text_encoder,
    unknown_words,
    wrap_caption,
)

TinyEncoder = tuple[T5EncoderModel, PreTrainedTokenizerFast]

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts.json").read_text("utf-8"))
WORDS = ["a big red circle moves up and left", "on a gray background", "make it snow"]


@pytest.fixture(scope="module")
def tiny() -> TinyEncoder:
    torch.manual_seed(0)
    return tiny_text_encoder(WORDS, width=16, layers=1, heads=2)


@pytest.mark.parametrize("case", GOLDEN)
def test_captions_are_wrapped_like_the_golden_ones(case: dict[str, object]) -> None:
    case = dict(case)
    prompt, expected = case.pop("prompt"), case.pop("expected")
    assert wrap_caption(prompt, Conditions(**case)) == expected


@pytest.mark.parametrize("case", [case for case in GOLDEN if case["prompt"].startswith("(")])
def test_a_task_writes_the_marker_that_golden_prompts_have(case: dict[str, object]) -> None:
    case = dict(case)
    marker, prompt = case.pop("prompt").split(" ", 1)
    expected = case.pop("expected")
    assert wrap_caption(prompt, Conditions(task=marker.strip("()"), **case)) == expected


def test_extending_an_edit_stacks_the_markers() -> None:
    edit = wrap_caption("make it snow", Conditions(task="v2v"))
    assert wrap_caption(edit, Conditions(task="extend")) == "(extend) (v2v) make it snow"


@pytest.mark.parametrize("noise_std", [i / 1000 for i in range(0, 1001, 7)])
def test_noise_levels_are_thousandths_without_rounding_errors(noise_std: float) -> None:
    wrapped = wrap_caption("", Conditions(noise_std=noise_std))
    assert wrapped == f"Noise Level {int(f'{noise_std:.3f}'.replace('.', ''))}:\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "t2v"),
        ("aspect_ratio", "wide"),
        ("aspect_ratio", "0:9"),
        ("fps", -1),
        ("noise_std", -0.1),
    ],
)
def test_conditions_that_mean_nothing_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name.replace("_", ".")):
        Conditions(**{name: value})


@pytest.mark.parametrize("name", ASPECT_RATIOS)
@pytest.mark.parametrize("multiple", [2, 16, 32])
def test_a_size_bears_the_name_of_its_aspect_ratio(name: str, multiple: int) -> None:
    height, width = size_for(name, area=640 * 640, multiple=multiple)
    assert nearest_aspect_ratio(height, width) == name
    assert height % multiple == width % multiple == 0
    assert math.isclose(height * width, 640 * 640, rel_tol=0.05)


def test_sizes_keep_the_area_and_round_each_side() -> None:
    assert size_for("16:9", area=640 * 640, multiple=16) == (480, 848)
    assert size_for("9:16", area=640 * 640, multiple=16) == (848, 480)
    assert size_for("1:1", area=64 * 64, multiple=16) == (64, 64)
    assert size_for("21:9", area=4, multiple=16) == (16, 16)


def test_released_480p_is_16_to_9() -> None:
    assert nearest_aspect_ratio(480, 832) == "16:9"


def test_sizes_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="height and width"):
        nearest_aspect_ratio(0, 64)
    with pytest.raises(ValueError, match="area"):
        size_for("1:1", area=0, multiple=16)


def test_wrapped_captions_hold_no_unknown_word(tiny: TinyEncoder) -> None:
    _, tokenizer = tiny
    conditions = Conditions(task="v2v", aspect_ratio="21:9", fps=24, noise_std=0.375)
    caption = wrap_caption("Make it SNOW!", conditions)
    assert " ".join(tokenizer.tokenize(caption)) == (
        "noise level 3 7 5 : a video with 2 4 fps : (v2v) make it snow in a 2 1 : 9 aspect ratio"
    )
    assert unknown_words(tokenizer, wrap_caption("(last) red", Conditions(fps=0))) == []


def test_unknown_words_come_once_in_order_and_lower_case(tiny: TinyEncoder) -> None:
    _, tokenizer = tiny
    prompt = "a Purple cow, red-eyed, moves (extend) over the purple circle in 3 s"
    assert unknown_words(tokenizer, prompt) == ["purple", "cow", "eyed", "over", "the", "s"]


def test_known_words_are_sorted_words_without_digits_and_markers(tiny: TinyEncoder) -> None:
    _, tokenizer = tiny
    words = known_words(tokenizer)
    assert words == sorted(words)
    assert {"red", "circle", "snow", "fps"} <= set(words)
    assert all(word.isalpha() for word in words)


def test_tokenizers_without_a_word_list_know_every_word() -> None:
    sentencepiece = SimpleNamespace(backend_tokenizer=SimpleNamespace(model=object()))
    for tokenizer in (sentencepiece, object()):
        assert unknown_words(tokenizer, "a purple cow") == known_words(tokenizer) == []


def test_embeddings_are_padded_with_zeros_and_ignore_the_padding(tiny: TinyEncoder) -> None:
    encoder, tokenizer = tiny
    captions = ["red circle", "a big red circle moves up"]
    short = encode_captions(encoder, tokenizer, captions, max_length=8)
    long = encode_captions(encoder, tokenizer, captions, max_length=12)
    assert short.shape == (2, 8, 16)
    assert torch.equal(short[0, 3:], torch.zeros(5, 16))
    assert (short[0, :3].abs().sum(-1) > 0).all() and (short[1, :7].abs().sum(-1) > 0).all()
    torch.testing.assert_close(long[:, :8], short)


def test_a_caption_does_not_depend_on_its_batch(tiny: TinyEncoder) -> None:
    encoder, tokenizer = tiny
    captions = ["red circle", "a big red circle moves up", ""]
    together = encode_captions(encoder, tokenizer, captions, max_length=8)
    alone = [encode_captions(encoder, tokenizer, [caption], max_length=8) for caption in captions]
    torch.testing.assert_close(together, torch.cat(alone))


def test_only_a_truncated_caption_is_warned_of(tiny: TinyEncoder) -> None:
    encoder, tokenizer = tiny
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_captions(encoder, tokenizer, ["a big red circle"], max_length=5)
    with pytest.warns(UserWarning, match=r"6 tokens .* reads 5.*'a big red circle up'"):
        encode_captions(encoder, tokenizer, ["red", "a big red circle up"], max_length=5)


def test_gradients_reach_the_encoder(tiny: TinyEncoder) -> None:
    encoder, tokenizer = tiny
    encode_captions(encoder, tokenizer, ["red circle"], max_length=6).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    encoder.zero_grad()


def test_any_module_with_a_last_hidden_state_serves_as_encoder(tiny: TinyEncoder) -> None:
    class Ids(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
            return SimpleNamespace(last_hidden_state=input_ids[..., None] * self.scale + 1)

    _, tokenizer = tiny
    embeddings = encode_captions(Ids(), tokenizer, ["red"], max_length=4)
    red, end = tokenizer("red").input_ids
    assert embeddings.dtype == torch.bfloat16
    assert embeddings[0, :, 0].tolist() == [red + 1, end + 1, 0, 0]


def test_the_default_encoder_weighs_less_than_a_megabyte_in_half_precision() -> None:
    encoder, _ = tiny_text_encoder(WORDS)
    assert 2 * sum(p.numel() for p in encoder.parameters()) < 1e6


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width is 10"):
        tiny_text_encoder(WORDS, width=10, heads=4)


class Pair(DiffusionPipeline):
    def __init__(self, text_encoder: T5EncoderModel, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.register_modules(text_encoder=text_encoder, tokenizer=tokenizer)


def test_saved_and_loaded_they_are_the_same(tiny: TinyEncoder, tmp_path: Path) -> None:
    encoder, tokenizer = tiny
    Pair(encoder, tokenizer).save_pretrained(tmp_path)
    loaded = Pair.from_pretrained(tmp_path)
    folder = tmp_path / "tokenizer"
    tokenizers = [
        loaded.tokenizer,
        PreTrainedTokenizerFast.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    ]
    captions = ["(v2v) make it snow", "a purple circle"]
    expected = encode_captions(encoder, tokenizer, captions, max_length=6)
    for again in tokenizers:
        actual = encode_captions(loaded.text_encoder, again, captions, max_length=6)
        assert torch.equal(actual, expected)
        assert unknown_words(again, "a purple circle") == ["purple"]
        assert known_words(again) == known_words(tokenizer)
    assert (tmp_path / "text_encoder" / "model.safetensors").is_file()
