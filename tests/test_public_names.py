"""The public names are one list: to people (`dir`), to Python and to type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import starflow_v


def test_type_checkers_see_the_names_that_python_sees() -> None:
    tree = ast.parse(Path(starflow_v.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {
        alias.asname: node.module
        for node in imports
        for alias in node.names
        if alias.asname == alias.name  # `import X as X` is what makes a name public to them
    }
    assert names == starflow_v._PUBLIC
    assert dir(starflow_v) == starflow_v.__all__ == sorted(names)


@pytest.mark.parametrize("name", starflow_v.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(starflow_v, name).__name__ == name


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'StarFlow'"):
        starflow_v.StarFlow  # noqa: B018


@pytest.mark.slow
def test_a_type_checker_knows_the_classes(tmp_path: Path) -> None:
    """Each name once was `Any` to it, in spite of `py.typed`."""
    program = tmp_path / "program.py"
    program.write_text(
        "from starflow_v import JacobiSolver\nreveal_type(JacobiSolver(block_size=4).block_size)\n"
        "from starflow_v import StarFlow\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", str(program)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert 'Revealed type is "int"' in run.stdout or '"builtins.int"' in run.stdout, run.stdout
    assert 'has no attribute "StarFlow"' in run.stdout
