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


@pytest.fixture
def studio(workshop: Workshop, tmp_path: Path) -> Iterator[Studio]:
    opened = Studio(workshop, tmp_path / "pages", Limits(seconds=2.0, results=2, waiting=2))
    yield opened
    opened.close()
