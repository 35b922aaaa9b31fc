"""What MkDocs cannot do by itself: pages of files outside docs/, and of the command line.

A link such as `../configs/folder.yaml` is right where the repository is read as it lies. On the
site it leads to a page that shows the file.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from typer.core import TyperCommand
from typer.main import get_command

ROOT = Path(__file__).parents[1]
OUTWARD = re.compile(r"\]\(\.\./([^)#\s]+)")
"""A link from a page in docs/ to a file of the repository."""
COMMANDS = "<!-- commands -->"
"""Where the page of the command line goes on by itself."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for every file outside docs/ that a page links to."""
    pages = [file for file in files.documentation_pages() if file.abs_src_path]
    for path in sorted({path for page in pages for path in linked(page.content_string)}):
        shown = File.generated(
            config, place_of(path), content=page_of(path), inclusion=InclusionLevel.NOT_IN_NAV
        )
        files.append(shown)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead outward links to those pages, and write the commands' page."""
    if page.file.src_uri == "reference/commands.md":
        return markdown.replace(COMMANDS, "\n".join(describe_commands()))
    there = set(linked(markdown))
    return OUTWARD.sub(lambda it: f"]({place_of(it[1])}" if it[1] in there else it[0], markdown)


def linked(markdown: str) -> list[str]:
    """Files of the repository that a page links to; what is not there, MkDocs complains about."""
    return [path for path in OUTWARD.findall(markdown) if (ROOT / path).is_file()]


def place_of(path: str) -> str:
    """Where the page of a file stands."""
    return f"files/{path}" if path.endswith(".md") else f"files/{path}.md"


def page_of(path: str) -> str:
    """A Markdown page as it is, another file as code under its name."""
    text = (ROOT / path).read_text("utf-8")
    if path.endswith(".md"):
        return text
    language = {".py": "python", ".yaml": "yaml", ".json": "json"}.get(Path(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{text}````\n"


def describe_commands() -> Iterator[str]:
    """A section for each command: what its `--help` says, as Markdown."""
    from starflow_v.cli.main import app

    for name, command in leaves(get_command(app).commands):
        context = command.make_context(f"starflow-v {name}", [], resilient_parsing=True)
        yield f"## {name}\n"
        yield f"```text\n{command.get_usage(context)}\n```\n"
        yield (command.help or "") + "\n"
        yield "| | |\n|---|---|"
        records = (parameter.get_help_record(context) for parameter in command.get_params(context))
        for record in filter(None, records):  # a hidden option has none
            yield "| `{}` | {} |".format(*map(cell, record))
        yield ""


def leaves(commands: dict[str, TyperCommand]) -> Iterator[tuple[str, TyperCommand]]:
    """Every command; those of a group under both names."""
    for name, command in commands.items():
        inside = getattr(command, "commands", None)
        if inside is None:
            yield name, command
        else:
            yield from ((f"{name} {inner}", it) for inner, it in leaves(inside))


def cell(text: str) -> str:
    """Text for a table: one line, no bar that would end it."""
    return " ".join(text.replace("|", "/").split())
