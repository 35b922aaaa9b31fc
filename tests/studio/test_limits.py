import pytest

from starflow_v.studio.limits import Limits


@pytest.mark.parametrize("prompt", ["a red circle", "🎈 circle", "دائرة حمراء", "x" * 2000])
def test_text_of_any_script_is_a_prompt(prompt: str) -> None:
    assert Limits().check_prompt(prompt) == prompt


@pytest.mark.parametrize("prompt", ["", "  \n", None, 7, ["a"]])
def test_nothing_is_no_prompt(prompt: object) -> None:
    with pytest.raises(ValueError, match="Say what the video shows"):
        Limits().check_prompt(prompt)


def test_half_a_sign_is_no_text() -> None:
    with pytest.raises(ValueError, match="no text"):
        Limits().check_prompt("a \ud800 circle")


def test_a_megabyte_is_refused_by_its_length() -> None:
    with pytest.raises(ValueError, match="1,000,000 characters; at most 2,000"):
        Limits().check_prompt("x" * 1_000_000)
