from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from starflow_v.cli.main import app
from starflow_v.data.video_io import VideoWriter, read_image


def command(name: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [name, *map(str, arguments)])


def frames_of(folder: Path) -> np.ndarray:
    """(F,H,W,3) of a folder of PNGs, as whole numbers that can be subtracted."""
    return np.stack([read_image(path) for path in sorted(folder.glob("*.png"))]).astype(int)


def test_a_video_that_could_not_be_written_is_decoded_from_its_latents(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["red", "--model", pipeline, "--seed", 3, "-o"]
    assert command("generate", *options, tmp_path / "whole").exit_code == 0
    write = VideoWriter.write

    def fail_at_the_end(self: VideoWriter, frames: np.ndarray) -> None:
        write(self, frames)
        if self.frames_written == 9:
            raise MemoryError("no memory left")

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", fail_at_the_end)
        assert command("generate", *options, tmp_path / "broken").exit_code == 1
    latents = tmp_path / "broken.latents.safetensors"
    result = command("decode", latents, "-o", tmp_path / "again")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'again'}: 9 frames" in result.output
    assert np.abs(frames_of(tmp_path / "again") - frames_of(tmp_path / "whole")).max() <= 1
    assert latents.is_file()


def test_without_a_name_the_latents_name_the_video(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: VideoWriter, frames: np.ndarray) -> None:
        raise MemoryError("no memory left")

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", fail)
        command("generate", "red", "--model", pipeline, "-o", tmp_path / "a.mp4")
    result = command("decode", tmp_path / "a.latents.safetensors")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.mp4").is_file()
    again = command("decode", tmp_path / "a.latents.safetensors")
    assert again.exit_code != 0 and "a.mp4" in again.output


def test_what_holds_no_latents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("no latents")
    result = command("decode", tmp_path / "a.safetensors")
    assert result.exit_code == 2 and "holds no saved latents" in result.output
