"""Checkpoints of every layout read the same; what is damaged or holds code is refused."""

import io
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import Tensor

from starflow_v.checkpoints import reading
from starflow_v.checkpoints.folder import open_source

TENSORS = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "a.bias": torch.arange(4, dtype=torch.bfloat16),
    "b": torch.tensor(3),
}


def pickled(path: Path) -> Path:
    torch.save({"a": {"weight": TENSORS["a.weight"], "bias": TENSORS["a.bias"]}, "b": 3}, path)
    return path


def as_pickle(folder: Path) -> Path:
    torch.save(TENSORS, folder / "x.pth")
    return folder / "x.pth"


def as_safetensors(folder: Path) -> Path:
    save_file(TENSORS, folder / "x.safetensors")
    return folder / "x.safetensors"


def as_distributed(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(dict(TENSORS), checkpoint_id=folder / "x", no_dist=True)
    return folder / "x"


LAYOUTS = [as_pickle, as_safetensors, as_distributed]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("remap", [1, 2**30])
def test_every_layout_reads_the_same(
    layout, remap: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REMAP", remap)
    source = open_source(layout(tmp_path))
    assert {name: (it.shape, it.dtype) for name, it in source.tensors.items()} == {
        name: (it.shape, it.dtype) for name, it in TENSORS.items()
    }
    assert all(tensor.is_meta for tensor in source.tensors.values())
    names = ["b", "a.bias", "a.weight"]
    for name, tensor in zip(names, source.read(names), strict=True):
        assert torch.equal(tensor, TENSORS[name])


def test_dictionaries_inside_are_joined_by_dots(tmp_path: Path) -> None:
    source = open_source(pickled(tmp_path / "x.pth"))
    assert source.tensors.keys() == {"a.weight", "a.bias"}


class Trap:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def trapped_torch(path: Path, trap: Trap) -> Path:
    torch.save({"blocks.0.sos_embed": torch.zeros(1), "trap": trap}, path)
    return path


def trapped_old_torch(path: Path, trap: Trap) -> Path:
    torch.save({"trap": trap}, path, _use_new_zipfile_serialization=False)
    return path


def trapped_bare(path: Path, trap: Trap) -> Path:
    path.write_bytes(pickle.dumps({"trap": trap}))
    return path


def trapped_protocol_0(path: Path, trap: Trap) -> Path:
    path.write_bytes(pickle.dumps({"trap": trap}, protocol=0))
    return path


def trapped_distributed(path: Path, trap: Trap) -> Path:
    folder = as_distributed(path.parent)
    (folder / ".metadata").write_bytes(pickle.dumps(trap))
    return folder


TRAPS = [
    trapped_torch,
    trapped_old_torch,
    trapped_bare,
    trapped_protocol_0,
    trapped_distributed,
]


@pytest.mark.parametrize("make", TRAPS)
def test_code_in_a_pickle_is_never_run(make, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = make(tmp_path / "x.pth", Trap(sprung))
    with pytest.raises(ValueError, match=r"nothing of it was run|is no checkpoint"):
        open_source(path)
    assert not sprung.exists()


def test_the_trap_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_name_with_dots_is_no_way_around(tmp_path: Path) -> None:
    """`Metadata.__init__.__globals__` begins with an allowed name."""
    folder = as_distributed(tmp_path)
    module, name = "torch.distributed.checkpoint.metadata", "Metadata.__init__"
    words = b"".join(b"\x8c" + bytes([len(it)]) + it.encode() for it in (module, name))
    (folder / ".metadata").write_bytes(b"\x80\x04" + words + b"\x93.")
    with pytest.raises(ValueError, match=r"is refused: it names .*Metadata\.__init__"):
        open_source(folder)


def cut(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


@pytest.mark.parametrize(
    ("layout", "message"),
    [(as_pickle, "x.pth is cut off"), (as_safetensors, "x.safetensors cannot be read")],
)
def test_a_truncated_file_is_refused(layout, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_source(cut(layout(tmp_path)))


def test_a_truncated_distributed_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = as_distributed(tmp_path)
    (data,) = folder.glob("*.distcp")
    source = open_source(folder)
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read from"):
        list(source.read(list(source.tensors)))
    cut(folder / ".metadata")
    with pytest.raises(ValueError, match=r"\.metadata is"):
        open_source(folder)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "no checkpoint")


def program(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def corrupted(path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[:-5])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (zipped, "is a zip file, but no checkpoint of PyTorch"),
        (program, "is a zip file, but no checkpoint|is refused"),
        (corrupted, "is a zip file, but no checkpoint of PyTorch, or a damaged one|is refused"),
        (lambda path: path.write_bytes(b""), "is no checkpoint"),
        (lambda path: path.write_text("version https://git-lfs"), "is no checkpoint"),
        (lambda path: torch.save({"step": 3}, path), "holds no tensors"),
        (lambda path: path.mkdir(), "is no distributed checkpoint: it has no .metadata"),
        (lambda path: None, "there is no checkpoint at"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_no_checkpoint_is_refused(write, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    write(path)
    with pytest.raises(ValueError, match=message):
        open_source(path)


def test_tensors_are_parameters_too(tmp_path: Path) -> None:
    parameters: dict[str, Tensor] = dict(torch.nn.Linear(2, 3).named_parameters())
    torch.save(parameters, tmp_path / "x.pth")
    source = open_source(tmp_path / "x.pth")
    (weight,) = source.read(["weight"])
    assert torch.equal(weight, parameters["weight"]) and not weight.requires_grad
