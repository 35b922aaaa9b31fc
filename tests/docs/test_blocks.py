"""Every block of the texts runs, in order, as a reader goes down the page."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from starflow_v.cli.main import app
from tests.docs.blocks import LANGUAGES, ROOT, Block, blocks, blocks_of, pages

QUICK = {"docs/index.md", "docs/animate.md"}
"""Pages that run in every `make test`; all others are slow."""
OPTIONAL = {"torchao"}
"""Packages of extras without which a page ends early."""


def with_programs() -> list[object]:
    """Pages that hold something to run."""
    found = []
    for path in pages():
        name = path.relative_to(ROOT).as_posix()
        if any(it.language in ("python", "sh") and it.reason is None for it in blocks_of(path)):
            marks = [] if name in QUICK else [pytest.mark.slow]
            found.append(pytest.param(path, id=name, marks=marks))
    return found


@pytest.mark.parametrize("path", with_programs())
def test_a_page_runs(path: Path, workplace: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(path):
        if block.reason is None:
            run(block, namespace)


def run(block: Block, namespace: dict[str, object]) -> None:
    """Programs in the page's own namespace, commands one by one in the current folder."""
    if block.file is not None:
        Path(block.file).write_text(block.text)
    elif block.language == "python":
        try:
            exec(compile(block.text, str(block), "exec"), namespace)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            pytest.skip(f"{block} wants {error.name}, which is not installed")
    elif block.language == "sh":
        for line in block.lines():
            if line.startswith("starflow-v "):
                result = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
                assert result.exit_code == 0, f"{block}: {line}\n{result.output}"
            elif line.startswith("torchrun ") and line.endswith(".py"):
                command = [sys.executable, "-m", "torch.distributed.run", *line.split()[1:]]
                subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("block", blocks("python", "json", "yaml"), ids=str)
def test_a_block_is_well_formed(block: Block) -> None:
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "yaml":
        assert isinstance(yaml.safe_load(block.text), dict)
    else:
        assert [json.loads(line) for line in block.text.splitlines()]


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_blocks_have_a_language(path: Path) -> None:
    found = blocks_of(path)
    assert {it.language for it in found} <= LANGUAGES
    assert path.read_text("utf-8").count("```") == 2 * len(found), (
        "a fence that is not at a line's start"
    )


def test_few_blocks_are_not_run() -> None:
    every = blocks("python", "sh")
    assert sum(it.reason is not None for it in every) <= len(every) / 4


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_no_two_commands_of_a_page_make_one_file(path: Path) -> None:
    """The second one would refuse to: a page was broken so until its slow test was run."""
    run = [it for it in blocks_of(path) if it.language == "sh" and it.reason is None]
    words = [shlex.split(line, comments=True) for it in run for line in it.lines()]
    made = [it[it.index("-o") + 1] for it in words if "-o" in it and "--overwrite" not in it]
    assert len(made) == len(set(made)), made
