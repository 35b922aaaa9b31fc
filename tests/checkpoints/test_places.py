"""Components are found in local folders and on the hub, which is asked for nothing else."""

from pathlib import Path

import pytest

from starflow_v.checkpoints import places
from starflow_v.checkpoints.places import find_part


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")
    return tmp_path


def test_a_part_is_found_by_itself_or_in_a_pipeline(pipeline: Path) -> None:
    assert find_part(str(pipeline), "vae") == pipeline / "vae"
    assert find_part(str(pipeline / "vae"), "vae") == pipeline / "vae"


HUB = {
    "Wan/Pipeline": [
        "model_index.json",
        "vae/config.json",
        "vae/a.safetensors",
        "vae/a.bin",
        "transformer/config.json",
        "transformer/b.safetensors",
    ],
    "me/vae": ["config.json", "a.safetensors", "README.md", "model.py", "old/c.safetensors"],
}
EXPECTED = {
    "Wan/Pipeline": ["vae/config.json", "vae/a.safetensors"],
    "me/vae": ["config.json", "a.safetensors"],
}


@pytest.mark.parametrize("name", HUB)
def test_from_the_hub_comes_what_is_needed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, *, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        for file in allow_patterns:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text("{}")
        return str(tmp_path)

    monkeypatch.setattr(places.HfApi, "list_repo_files", lambda self, name: HUB[name])
    monkeypatch.setattr(places, "snapshot_download", download)
    folder = find_part(name, "vae")
    assert asked == EXPECTED[name]
    assert (folder / "config.json").is_file()


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, name: str) -> list[str]:
        raise ConnectionError("no network\nand more")

    monkeypatch.setattr(places.HfApi, "list_repo_files", fail)
    with pytest.raises(ValueError, match=r"me/vae is no local folder and .*: no network$"):
        find_part("me/vae", "vae")


@pytest.mark.parametrize("place", ["nowhere", "./a", "a/b/c", "/a/b", "~/a"])
def test_what_is_neither_a_folder_nor_an_id_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="no hub id either"):
        find_part(place, "vae")
