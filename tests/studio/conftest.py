import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from starflow_v.cli.common.model_folder import read_model_folder
from starflow_v.cli.common.settings import Wishes
from starflow_v.studio.limits import Limits
from starflow_v.studio.studio import Studio
from starflow_v.studio.workshop import Workshop
from tests.cli.conftest import pipeline as pipeline


@pytest.fixture(scope="session")
def workshop(pipeline: Path) -> Workshop:
    """Of random weights: 9 frames of 48x32 at 8 fps."""
    return Workshop(read_model_folder(pipeline), Wishes(device="cpu"))


@pytest.fixture(scope="session")
def skilled_workshop(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Of a model that says that it was trained for every task."""
    folder = tmp_path_factory.mktemp("skilled") / "model"
    shutil.copytree(pipeline, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["tasks"] = ["video", "image", "extend", "last", "v2v"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return Workshop(read_model_folder(folder), Wishes(device="cpu"))


@pytest.fixture
def studio(workshop: Workshop, tmp_path: Path) -> Iterator[Studio]:
    yield from opened(workshop, tmp_path / "pages")


@pytest.fixture
def skilled(skilled_workshop: Workshop, tmp_path: Path) -> Iterator[Studio]:
    yield from opened(skilled_workshop, tmp_path / "pages")


def opened(workshop: Workshop, root: Path) -> Iterator[Studio]:
    studio = Studio(workshop, root, Limits(seconds=2.0, results=2, waiting=2))
    yield studio
    studio.close()
