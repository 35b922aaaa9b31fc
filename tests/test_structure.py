"""The shape of the house: who may import whom, and how long a file may be.

A file imports only from the lines above its own, so the mathematics can be read, tested and reused
without the video, and the video without the training.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "starflow_v"
LAYERS = (
    "assets",
    "config",
    "processes",
    "nn",
    "flow",
    "denoiser",
    "parallel",
    "text",
    "data.video_io",
    "data.pixels",
    "vae",
    "sampling",
    "pipelines",
    "checkpoints",
    "planner",
    "data",
    "evaluation",
    "benchmark",
    "baselines",
    "training",
    "cli.common",
    "studio",
    "cli",
)
BORDERS = {  # a foreign library -> the one place that knows it
    "omegaconf": "config",
    "transformers": "text",
    "av": "data.video_io",
    "decord": "data.video_io",
    "accelerate": "training.engine.trainer",
    "peft": "training.lora",
    "ot": "baselines.transport",
    "scipy": "baselines.transport",
    "sklearn": "data.digits",
    "torchdiffeq": "baselines.integrators",
    "gradio": "studio",
}
LONGEST_FILE = 350

FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if path != PACKAGE / "__init__.py"]


def name_of(path: Path) -> str:
    """`starflow_v/nn/rope.py` is `nn.rope`; a package's `__init__.py` has the package's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_within(name: str, place: str) -> bool:
    return name == place or name.startswith(place + ".")


def layer_of(name: str) -> int:
    """The line of the folder list; the longest match wins (`data.video_io` before `data`)."""
    places = [layer for layer in LAYERS if is_within(name, layer)]
    assert places, f"starflow_v.{name} has no line in the folder list: place it, or add a line"
    return LAYERS.index(max(places, key=len))


def imports_of(path: Path) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it, `from a import b` as `a.b`."""
    module = ["starflow_v", *name_of(path).split(".")]
    package = module if path.name == "__init__.py" else module[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def our_imports(path: Path) -> Iterator[str]:
    """Names inside the package, without its own name in front."""
    for name in imports_of(path):
        if name.startswith("starflow_v."):
            yield name.removeprefix("starflow_v.")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_the_list(path: Path) -> None:
    own = layer_of(name_of(path))
    for name in our_imports(path):
        is_public_name = not any(is_within(name, layer) for layer in LAYERS)
        if is_public_name:  # `from starflow_v import StarFlowModel` reaches everywhere
            own_name = name_of(path)
            assert own_name.startswith("cli"), f"only cli/ may take {name} from the package's top"
        else:
            assert layer_of(name) <= own, f"{name_of(path)} imports {name}, which stands below it"


@pytest.mark.parametrize("library", BORDERS)
def test_a_foreign_library_has_one_place(library: str) -> None:
    importers = {
        name_of(path) for path in FILES if any(is_within(n, library) for n in imports_of(path))
    }
    assert all(is_within(name, BORDERS[library]) for name in importers), importers


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_FILE


def test_no_folder_is_named_like_a_pipeline_of_diffusers() -> None:
    """diffusers writes `["wan", "Class"]` for such a folder and then cannot load it."""
    import diffusers.pipelines

    theirs = {path.name for path in Path(diffusers.pipelines.__file__).parent.iterdir()}
    ours = {path.name for path in PACKAGE.rglob("*") if path.is_dir()} - {"__pycache__"}
    assert not ours & theirs


@pytest.mark.parametrize("heavy", ["torch", "diffusers", "transformers", "numpy", "av"])
def test_the_package_is_imported_lightly(heavy: str) -> None:
    code = f"import sys, starflow_v; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
