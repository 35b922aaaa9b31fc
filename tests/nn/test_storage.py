import pytest
import torch
from torch import Tensor

from starflow_v.nn.cache import RingCache, SequenceCache
from starflow_v.nn.storage import CacheStorage, Int8Storage, OffloadedStorage, PlainStorage

STORAGES = {
    "as they come": PlainStorage(),
    "bfloat16": PlainStorage(torch.bfloat16),
    "int8": Int8Storage(),
    "offloaded": OffloadedStorage(),
    "offloaded int8": OffloadedStorage(inner=Int8Storage()),
}
ERROR = {"bfloat16": 2**-8, "int8": 0.5 / 127, "offloaded int8": 0.5 / 127}
"""Of a number, in units of the largest one of its slot and head."""


@pytest.fixture(params=STORAGES)
def named(request: pytest.FixtureRequest) -> tuple[CacheStorage, float]:
    return STORAGES[request.param], ERROR.get(request.param, 0.0)


def draw(slots: int, seed: int) -> Tensor:
    """(2, 3, slots, 8), of sizes from 1e-3 to 1e3."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** torch.empty(2, 3, slots, 1).uniform_(-3, 3, generator=generator)
    return sizes * torch.randn(2, 3, slots, 8, generator=generator)


def assert_near(got: Tensor, wanted: Tensor, error: float) -> None:
    largest = wanted.abs().amax(-1, keepdim=True)
    assert ((got.to(wanted.dtype) - wanted).abs() <= 1.001 * error * largest).all()


def test_what_is_written_is_read(named: tuple[CacheStorage, float]) -> None:
    storage, error = named
    store = storage.allocate(draw(1, 0), 6)
    first, second, third = (draw(n, seed) for n, seed in ((3, 1), (2, 2), (1, 3)))
    store.write(0, first, -first)
    store.write(3, second, -second)
    store.write(1, third, -third)  # a draft is overwritten
    keys, values = store.read(5)
    wanted = torch.cat((first[:, :, :1], third, first[:, :, 2:], second), dim=2)
    assert_near(keys, wanted, error)
    assert torch.equal(values, -keys)


def test_both_caches_keep_their_slots(named: tuple[CacheStorage, float]) -> None:
    storage, error = named
    sequence = SequenceCache(layers=2, capacity=5, storage=storage)
    before, after = draw(2, 1), draw(3, 2)
    sequence.layer(1).extend(before, before)
    sequence.commit(2)
    keys, _ = sequence.layer(1).extend(after, after)
    assert_near(keys, torch.cat((before, after), dim=2), error)
    ring = RingCache(head=1, tokens=2, past=1, ahead=0, storage=storage)
    text = draw(3, 3)
    ring.extend(text, text)
    ring.commit_frame()
    keys, _ = ring.extend(before, before)
    assert_near(keys, torch.cat((text[:, :, :1], before), dim=2), error)


def test_eight_bits_take_little_more_than_a_quarter_of_float32() -> None:
    store = Int8Storage().allocate(torch.zeros(1, 2, 1, 64), 10)
    tensors = [value for value in vars(store).values() if isinstance(value, Tensor)]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert size == 2 * 2 * 10 * (64 + 2 * 4)


def test_a_large_feature_spoils_its_neighbours_alone() -> None:
    """One scale for a whole head: a feature that is large in every slot cost all the others."""
    keys = torch.randn(1, 2, 3, 64, generator=torch.Generator().manual_seed(0))
    keys[..., 5] = 1000.0
    errors = {}
    for group in (64, 32, 7):
        store = Int8Storage(group).allocate(keys, 3)
        store.write(0, keys, keys)
        errors[group] = (store.read(3)[0] - keys)[..., 32:].abs().max()
    assert errors[32] < 0.02 < 0.5 < errors[64] == errors[7], "7 does not divide a head of 64"


def test_a_group_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="group=0"):
        Int8Storage(0)


def test_zeros_and_half_precision_survive_eight_bits() -> None:
    zeros = torch.zeros(1, 1, 2, 4, dtype=torch.bfloat16)
    store = Int8Storage().allocate(zeros, 2)
    store.write(0, zeros, zeros)
    keys, values = store.read(2)
    assert keys.dtype == values.dtype == torch.bfloat16
    assert not keys.any() and not values.any()


def test_whole_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Int8Storage\(\)"):
        PlainStorage(torch.int8)
