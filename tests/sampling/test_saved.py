from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from starflow_v.sampling.saved import KEY, LatentsWriter, read_latents

NOTES = {"frame_rate": "8"}


def frames(count: int) -> list[torch.Tensor]:
    """Of two videos, (2, 1, 3, 4, 5) each."""
    return [torch.randn(2, 1, 3, 4, 5) for _ in range(count)]


def test_a_whole_file_is_one_of_safetensors(tmp_path: Path) -> None:
    path, made = tmp_path / "new" / "a.latents.safetensors", frames(3)
    with LatentsWriter(path, NOTES) as writer:
        assert not path.exists()
        for frame in made:
            writer.write(frame, total=3, hidden=1)
    latents, notes = read_latents(path)
    assert torch.equal(latents, torch.cat(made, dim=1))
    assert notes == {"frame_rate": "8", "hidden": "1"}
    assert torch.equal(load_file(path)[KEY].transpose(0, 1), latents)


def test_a_broken_run_leaves_its_whole_frames(tmp_path: Path) -> None:
    path, made = tmp_path / "a.latents.safetensors", frames(2)
    writer = LatentsWriter(path, NOTES)
    for frame in made:
        writer.write(frame, total=5, hidden=0)
    assert torch.equal(read_latents(path)[0], torch.cat(made, dim=1))  # not even closed
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 1)
    assert torch.equal(read_latents(path)[0], made[0])
    writer.discard()
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x02" + bytes(7) + b"{}", b"\xff" * 40])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.latents.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds no saved latents"):
        read_latents(path)
    with pytest.raises(ValueError, match="holds no saved latents"):
        read_latents(tmp_path / "absent")
