"""Streams of all tasks with their stages side by side: the same bits, and no thread is left."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from starflow_v import (
    InSeries,
    SideBySide,
    StarFlowVExtendPipeline,
    StarFlowVImageToVideoPipeline,
    StarFlowVPipeline,
    StarFlowVVideoToVideoPipeline,
)
from tests.data.video_io.clips import disc_clip

PROMPT = "a red circle moves right"
TASKS = ["video", "image", "extend", "v2v"]


def stage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "starflow_v stage"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not stage_threads()


@pytest.fixture(scope="module")
def able(make_pipe: Callable[..., StarFlowVPipeline]) -> StarFlowVPipeline:
    return make_pipe(tasks=TASKS)


def stream(pipe: Any, *given: object, **options: object) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "output_type": "pt"} | options
    return pipe.stream(*given, PROMPT, **options)


@pytest.mark.parametrize(
    ("kind", "frames", "options"),
    [
        (StarFlowVPipeline, None, {"num_frames": 25}),
        (StarFlowVPipeline, None, {"num_frames": 1}),
        (StarFlowVPipeline, None, {"num_frames": 9, "output_type": "latent"}),
        (StarFlowVImageToVideoPipeline, 1, {"num_frames": 9}),
        (StarFlowVExtendPipeline, 9, {"num_frames": 12}),
        (StarFlowVVideoToVideoPipeline, 21, {}),
        (StarFlowVVideoToVideoPipeline, 9, {"strength": 0.5}),
    ],
)
def test_the_same_bits_as_in_series(
    able: StarFlowVPipeline, kind: Any, frames: int | None, options: dict[str, object]
) -> None:
    pipe = able if kind is StarFlowVPipeline else kind.from_pipe(able)
    clip = () if frames is None else (disc_clip(frames, 16, 24),)
    given = clip if frames != 1 else (clip[0][0],)
    made = [
        torch.cat(list(stream(pipe, *given, stages=stages, **options)), dim=1)
        for stages in (InSeries(), SideBySide(), SideBySide(room=3))
    ]
    assert torch.equal(made[1], made[0])
    assert torch.equal(made[2], made[0])


def test_a_stream_without_a_denoiser(
    make_pipe: Callable[..., StarFlowVPipeline], able: StarFlowVPipeline
) -> None:
    """The flow's own score needs a gradient, whatever thread it is in."""
    pipe = make_pipe()
    pipe.register_modules(denoiser=None)
    series, side_by_side = (
        torch.cat(list(stream(pipe, stages=stages)), dim=1) for stages in (InSeries(), SideBySide())
    )
    assert torch.equal(series, side_by_side)
    assert not side_by_side.requires_grad


@pytest.mark.parametrize("end", ["closed", "forgotten"])
def test_an_abandoned_stream_leaves_no_thread(able: StarFlowVPipeline, end: str) -> None:
    frames = stream(able, num_frames=41)
    assert not stage_threads()
    next(frames)
    assert len(stage_threads()) == 3
    if end == "closed":
        frames.close()  # type: ignore[attr-defined]
    del frames
    gc.collect()
    assert not stage_threads()


@pytest.mark.parametrize(
    ("owner", "method"),
    [("flow", "solve_deep"), ("flow", "solve_shallow"), ("denoiser", "denoise_frames")],
)
def test_an_error_in_a_stage_reaches_the_caller(
    able: StarFlowVPipeline, monkeypatch: pytest.MonkeyPatch, owner: str, method: str
) -> None:
    """And ends the threads, though the traceback still holds the stages' frames."""

    def broken(*args: object, **options: object) -> object:
        raise LookupError(method)

    monkeypatch.setattr(type(getattr(able, owner)), method, broken)
    with pytest.raises(LookupError, match=method) as caught:
        list(stream(able, num_frames=41))
    assert caught.traceback[-1].name == "broken"
    assert not stage_threads()


def test_an_error_in_the_decoder_ends_the_threads(
    able: StarFlowVPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: object, chunks: Iterator[Tensor]) -> Iterator[Tensor]:
        yield next(chunks)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(able.codec), "decode_stream", breaks)
    with pytest.raises(KeyboardInterrupt) as caught:
        list(stream(able, num_frames=41))
    assert caught.traceback[-1].name == "breaks"
    assert not stage_threads()


def test_an_error_of_the_caller_ends_the_threads(able: StarFlowVPipeline) -> None:
    with pytest.raises(LookupError):
        for _ in stream(able, num_frames=41):
            raise LookupError
    assert not stage_threads()


def test_two_streams_of_one_pipeline_do_not_meet(able: StarFlowVPipeline) -> None:
    alone = list(stream(able, num_frames=17))
    pairs = zip(stream(able, num_frames=17), stream(able, num_frames=17), strict=True)
    for expected, (first, second) in zip(alone, pairs, strict=True):
        assert torch.equal(first, expected)
        assert torch.equal(second, expected)


def test_offloaded_models_work_in_series(make_pipe: Callable[..., StarFlowVPipeline]) -> None:
    from accelerate import cpu_offload

    pipe = make_pipe()
    cpu_offload(pipe.flow, torch.device("cpu"), offload_buffers=True)
    frames = stream(pipe, num_frames=9)
    next(frames)
    assert not stage_threads()
