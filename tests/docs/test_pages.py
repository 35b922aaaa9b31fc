"""What the texts promise is there: names, files, messages, and the figures of the model's card."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import starflow_v
from starflow_v import Guidance, Solver, Window
from starflow_v.nn.storage import CacheStorage
from starflow_v.sampling.overlap import Stages
from starflow_v.sampling.stages import Denoiser
from tests.docs.blocks import FENCE, ROOT, blocks_of, pages
from tests.test_structure import FILES, LAYERS, PACKAGE

DOCS = ROOT / "docs"
TEXTS = {path: path.read_text("utf-8") for path in pages()}
REFERENCE = "".join(path.read_text("utf-8") for path in sorted((DOCS / "reference").glob("*.md")))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
MEGABYTES = 3
INTERFACES = (Solver, Guidance, Window, CacheStorage, Denoiser, Stages)
"""Protocols whose methods are documented once."""


@pytest.mark.parametrize("name", starflow_v.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^::: starflow_v\.{name}$|`starflow_v\.{name}`", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(starflow_v.__all__) - {"ModelMixin"}))
def test_every_public_name_tells_what_it_is(name: str) -> None:
    """A docstring of its own, and one of each public method that is not an interface's."""
    thing = getattr(starflow_v, name)
    methods = {
        key: it
        for key, it in vars(thing).items()
        if (key == "__call__" or not key.startswith("_"))
        and (callable(it) or isinstance(it, property | classmethod))
    }
    own = {key: it for key, it in methods.items() if not any(hasattr(p, key) for p in INTERFACES)}
    assert [key for key, it in own.items() if not it.__doc__] == []
    assert thing.__doc__


def test_every_page_is_in_the_navigation() -> None:
    """The tags of MkDocs' own YAML are none of ours."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")

    def leaves(entry: object) -> set[str]:
        if isinstance(entry, str):
            return {entry}
        parts = entry.values() if isinstance(entry, dict) else entry
        return set().union(*map(leaves, parts))

    listed = leaves(yaml.safe_load(text)["nav"])
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in LINK.findall(TEXTS[path]):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as the site and code hosts name them."""
    prose = FENCE.sub("", path.read_text("utf-8"))
    told = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", it).strip().lower()) for it in told}


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_anchors_are_headings(path: Path) -> None:
    """Those of the reference are made when the site is built, which checks them."""
    for target, anchor in ANCHOR.findall(TEXTS[path]):
        page = path.parent / target if target else path
        if page.parent.name != "reference":
            assert anchor in headings(page), f"{path.name}: {target}#{anchor}"


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_files_that_are_named_are_there(path: Path) -> None:
    named = re.findall(r"`((?:benchmarks|configs|demos|docs|tests)/[\w./-]+\.\w+)`", TEXTS[path])
    assert all((ROOT / name).exists() for name in named), named


def texts_of_the_package() -> list[list[str]]:
    """Every string in the code as its constant pieces, what is filled in left out."""
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            words = [it.value for it in parts if isinstance(it, ast.Constant)]
            found.append([it for it in words if isinstance(it, str)])
    return found


def test_troubleshooting_quotes_what_the_program_says() -> None:
    """Each quotation is the beginning of a text, or of its part after what is filled in first."""
    texts = texts_of_the_package()
    for block in blocks_of(DOCS / "troubleshooting.md"):
        said = " ".join(block.text.removeprefix("warning: ").split())
        assert any(says(parts, said) for parts in texts), said


def says(parts: list[str], said: str) -> bool:
    """Whether a third of `said` or more is these pieces, in order; the last may be cut off."""
    place, covered = 0, 0
    for part in (it for it in parts if it.strip()):
        shown = part if part in said[place:] else said[place:] if said[place:] in part else None
        if shown is None:
            rest = said[place:]
            cut = next((n for n in range(len(part), 8, -1) if rest.endswith(part[:n])), 0)
            return cut > 0 and 3 * (covered + cut) > len(said)
        place = said.index(shown, place) + len(shown)
        covered += len(shown)
    return 3 * covered > len(said)


def rows(text: str) -> set[str]:
    """Rows of the table of what was measured, from "colour as told" on."""
    (table,) = re.findall(r"^\| colour as told.*?(?=^$|\Z)", text, re.DOTALL | re.MULTILINE)
    return set(table.splitlines())


def test_the_embedded_models_numbers_are_those_of_its_card() -> None:
    card = rows((PACKAGE / "assets/scenes/README.md").read_text("utf-8"))
    assert rows((DOCS / "numbers.md").read_text("utf-8")) == card
    told = TEXTS[ROOT / "README.md"]
    for name in ("colour", "background", "motion", "shape"):
        (share,) = re.findall(rf"^\| {name} as told \| (.+ %) \|$", "\n".join(card), re.MULTILINE)
        assert share in told, f"README.md does not say that {name} is right in {share}"


def test_pictures_are_few_and_small() -> None:
    files = list((DOCS / "images").iterdir())
    assert sum(path.stat().st_size for path in files) < MEGABYTES * 2**20
    assert all(path.stat().st_size for path in files)
    used = "".join(TEXTS.values())
    assert [path.name for path in files if f"images/{path.name}" not in used] == []


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


def test_every_command_is_described_for_the_site() -> None:
    """An option that is hidden from the help once ended it."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    hooks = runpy.run_path(str(DOCS / "hooks.py"))
    described = "\n".join(hooks["describe_commands"]())
    for command in ("generate", "edit", "sample"):
        assert f"## {command}\n" in described
    assert "`--mask FILE`" in described


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r'(?:src|<link[^>]*href)="(https?://[^"]+)"', page.read_text("utf-8"))
        assert loaded == [], page
    site = "".join(page.read_text("utf-8") for page in (tmp_path / "reference").glob("*.html"))
    for name in set(starflow_v.__all__) - {"ModelMixin"}:
        assert f'id="starflow_v.{name}"' in site, f"{name} is not in the built reference"
