"""Every command in the texts is one that exists, with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from starflow_v.cli.main import app
from starflow_v.cli.train_vae import noisy_decoder
from starflow_v.config import load_config
from starflow_v.training.recipes import load_settings
from starflow_v.training.vae.settings import CodecSettings
from tests.docs.blocks import ROOT, arguments_of, blocks, inline_commands

COMMANDS = sorted({line for block in blocks("sh") for line in block.lines()})
INLINE = sorted({command for _, command in inline_commands()})
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
EXTRAS = re.findall(
    r"^([a-z0-9]+) = \[", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE
)


def parse(arguments: list[str]) -> dict[str, object]:
    """The values of a command's parameters; an error where there is no such command or option."""
    name, *rest = arguments
    return get_command(app).commands[name].make_context(name, rest).params


def check(command: str) -> None:
    """Fails for a command that could not be run as it stands."""
    arguments = arguments_of(command)
    if arguments is not None:
        check_own(arguments)
        return
    program, *words = shlex.split(command, comments=True)
    match program:
        case "make":
            assert words[0] in TARGETS
        case "pip":
            extras = re.findall(r"\[(.+)\]", words[-1])
            assert set(extras[0].split(",")) <= set(EXTRAS)
        case "python" | "pytest" | "torchrun":
            check_script(words)
        case _:
            raise AssertionError(f"no rule for {program}: {command}")


def check_own(arguments: list[str]) -> None:
    """A command of ours: its options, and the keys of the configuration that it is given."""
    if arguments[0].startswith("-"):
        assert arguments in (["--help"], ["--version"])
        return
    if arguments == arguments[:1]:  # the command's bare name
        get_command(app).commands[arguments[0]]
        return
    given = parse(arguments)
    config, overrides = given.get("config"), given.get("overrides") or []
    if isinstance(config, Path) and config.parts[0] == "configs":
        assert (ROOT / config).is_file()
    if arguments[0] == "train-vae":
        noisy = given.get("noisy")
        load_config(CodecSettings, ROOT / config, noisy_decoder(noisy) if noisy else overrides)
    elif arguments[0] == "train" and (ROOT / config).is_file():
        load_settings(ROOT / config, overrides)


def check_script(words: list[str]) -> None:
    """A file of the repository, whose own text knows the options after it."""
    scripts = [word for word in words if word.endswith(".py")]
    if not scripts or scripts == ["sample.py"]:  # written by the reader
        return
    text = (ROOT / scripts[0]).read_text("utf-8")
    for option in words[words.index(scripts[0]) + 1 :]:
        assert not option.startswith("--") or f'"{option}"' in text, option


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_a_block_parses(command: str) -> None:
    check(command)


@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_running_text_parses(command: str) -> None:
    check(command)


def test_a_command_that_is_none_does_not_parse() -> None:
    with pytest.raises(Exception, match="No such option"):
        check('starflow-v generate "a red circle" --frobnicate')
    with pytest.raises(KeyError, match="frobnicate"):
        check("starflow-v frobnicate")
    with pytest.raises(ValueError, match="unknown configuration key"):
        check("starflow-v train configs/embedded.yaml trainer.step=1")
    with pytest.raises(AssertionError):
        check("python benchmarks/tasks.py --frobnicate")
