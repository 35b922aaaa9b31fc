"""What the texts promise is there: README.md's programs run, its commands parse."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from starflow_v.assets import embedded_model
from starflow_v.cli.main import app
from tests.test_structure import LAYERS, PACKAGE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """The arguments of every `starflow-v` in the README, without the comments after them."""
    text = "".join(blocks("sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.split("\n")]
    return [words[1:] for words in lines if words[:1] == ["starflow-v"]]


def parse(arguments: list[str]) -> dict[str, object]:
    """The values of a command's parameters; an error where there is no such command or option."""
    name, *rest = arguments
    return get_command(app).commands[name].make_context(name, rest).params


def test_the_readme_has_programs_and_commands() -> None:
    assert len(blocks("python")) >= 2
    assert {words[0] for words in commands()} >= {"generate", "info", "train", "train-vae"}


@pytest.mark.parametrize("arguments", commands(), ids=shlex.join)
def test_its_commands_parse(arguments: list[str]) -> None:
    given = parse(arguments)
    assert given
    for value in given.values():
        if isinstance(value, Path) and value.parts[0] == "configs":
            assert (ROOT / value).is_file()


def test_a_command_that_is_none_does_not_parse() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["generate", "a red circle", "--frobnicate"])
    with pytest.raises(KeyError, match="frobnicate"):
        parse(["frobnicate"])


@pytest.mark.slow
def test_its_python_runs() -> None:
    """In one namespace and in order, as a reader types it."""
    if not (embedded_model() / "model_index.json").is_file():
        pytest.skip("the embedded model is not there yet")
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks("python"), start=1):
        exec(compile(block, f"README.md, program {number}", "exec"), namespace)


def test_the_folders_of_the_contributing_guide_are_those_of_the_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (listed,) = re.findall(r"^```\n(assets/ .*?)^```", text, re.DOTALL | re.MULTILINE)
    there = [
        path
        for layer in LAYERS
        for path in (f"{layer.replace('.', '/')}.py", f"{layer.replace('.', '/')}/")
        if (PACKAGE / path).exists()
    ]
    assert listed.split() == there
