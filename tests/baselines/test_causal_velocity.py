"""The causal network: what a frame sees, and frame by frame = all at once."""

import pytest
import torch
from torch.testing import assert_close

from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.integrators import Euler
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import ContextWindow
from tests.conftest import BATCH, CHANNELS, Make, draw

FRAMES, ROWS, COLUMNS = 4, 4, 2
KINDS = {"text": {}, "patches": {"patch_size": 2}, "no text": {"text_dim": None}}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def video(seed: int = 0, frames: int = FRAMES) -> torch.Tensor:
    return draw(BATCH, frames, CHANNELS, ROWS, COLUMNS, seed=seed)


def solve(model, noise, texts, **arguments) -> tuple[torch.Tensor, list]:
    pairs = list(
        model.solve_frames(noise.split(1, dim=1), texts, frames=noise.shape[1], **arguments)
    )
    return torch.cat([frame for frame, _ in pairs], dim=1), [cost for _, cost in pairs]


def test_a_frame_sees_clean_frames_before_it_and_itself_alone(make_velocity: Make, text) -> None:
    model = make_velocity()
    x, clean = video(0), video(1)
    t = draw(BATCH, FRAMES, seed=3).sigmoid()
    before = model(x, t, clean, text)
    other = torch.arange(FRAMES) == 2
    changed = torch.where(other.view(1, -1, 1, 1, 1), video(5), clean)
    moved = (model(x, t, changed, text) - before).abs().amax((0, 2, 3, 4)) > 1e-9
    assert moved.tolist() == [False, False, False, True]
    noisy = torch.where(other.view(1, -1, 1, 1, 1), video(5), x)
    moved = (model(noisy, t, clean, text) - before).abs().amax((0, 2, 3, 4)) > 1e-9
    assert moved.tolist() == [False, False, True, False]
    later = torch.where(other, 0.5 * t, t)
    moved = (model(x, later, clean, text) - before).abs().amax((0, 2, 3, 4)) > 1e-9
    assert moved.tolist() == [False, False, True, False]
    assert ((model(x, t, clean, text.flip(0)) - before).abs().amax((0, 2, 3, 4)) > 1e-9).all()


def test_frame_by_frame_is_the_teacher_forced_network(make_velocity: Make, kind, text) -> None:
    """Euler through the cache = Euler through the whole sequence, with the frames found before."""
    model = make_velocity(**KINDS[kind])
    text = None if kind == "no text" else text
    noise, steps = video(), 3
    got, costs = solve(model, noise, Texts(text), integrator=Euler(steps))
    clean = torch.zeros_like(noise)
    for frame in range(FRAMES):
        x = noise.clone()
        for step in range(steps):
            t = torch.full((BATCH, FRAMES), step / steps, dtype=x.dtype)
            with torch.no_grad():
                x = x + model(x, t, clean, text) / steps
        clean[:, frame] = x[:, frame]
    assert_close(got, clean)
    assert [cost.evaluations for cost in costs] == [steps] + [steps + 1] * (FRAMES - 1)


def test_a_window_that_holds_all_changes_nothing(make_velocity: Make, text) -> None:
    model, noise = make_velocity(), video()
    plain, _ = solve(model, noise, Texts(text), integrator=Euler(2))
    wide, _ = solve(model, noise, Texts(text), integrator=Euler(2), window=ContextWindow(FRAMES, 1))
    assert_close(wide, plain)


def test_a_restart_begins_with_the_carried_frames_and_its_own_text(
    make_velocity: Make, text
) -> None:
    """What comes after the restart is the last frame of a video that begins with the carried."""
    model, noise = make_velocity(), video()
    window, other = ContextWindow(3, 2), text.flip(0)
    got, costs = solve(
        model,
        noise,
        Texts(text),
        integrator=Euler(2),
        window=window,
        restart=Texts(other),
    )
    clean = torch.cat((got[:, 1:3], torch.zeros_like(got[:, :1])), dim=1)
    x = torch.cat((torch.zeros_like(clean[:, :2]), noise[:, 3:]), dim=1)
    for step in range(2):
        t = torch.full((BATCH, 3), step / 2, dtype=x.dtype)
        with torch.no_grad():
            x = x + model(x, t, clean, other) / 2
    assert_close(got[:, 3], x[:, 2])
    assert costs[-1].evaluations == 2 + 2


def test_guidance_of_zero_is_the_conditional_network(make_velocity: Make, text) -> None:
    model, noise = make_velocity(), video()
    texts = Texts(text, torch.zeros_like(text[:1]))
    plain, _ = solve(model, noise, texts, integrator=Euler(2))
    off, _ = solve(model, noise, texts, integrator=Euler(2), guidance=VelocityGuidance(0.0))
    same, _ = solve(
        model,
        noise,
        Texts(text, text),
        integrator=Euler(2),
        guidance=VelocityGuidance(3.0),
    )
    on, costs = solve(model, noise, texts, integrator=Euler(2), guidance=VelocityGuidance(3.0))
    assert_close(off, plain)
    assert_close(same, plain)
    assert (on - plain).abs().max() > 1e-3
    assert costs[0].evaluations == 2, "a guided call counts once"


def test_the_model_is_saved_and_loaded(make_velocity: Make, text, tmp_path) -> None:
    model = make_velocity(dtype=torch.float32)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    x, t = video().float(), torch.full((BATCH, FRAMES), 0.5)
    assert_close(again(x, t, x, text.float()), model(x, t, x, text.float()))


def test_recomputed_activations_give_the_same_gradient(make_velocity: Make, text) -> None:
    gradients = []
    for recompute in (False, True):
        model = make_velocity()
        model.train()
        if recompute:
            model.enable_gradient_checkpointing()
        model(video(), torch.full((BATCH, FRAMES), 0.5), video(1), text).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert_close(again, plain)


def test_shapes_that_do_not_fit_are_refused(make_velocity: Make, text) -> None:
    with pytest.raises(ValueError, match="times of"):
        make_velocity()(video(), torch.zeros(BATCH), video(), text)
    with pytest.raises(ValueError, match="text does not fit"):
        make_velocity()(video(), torch.zeros(BATCH, FRAMES), video(), None)
