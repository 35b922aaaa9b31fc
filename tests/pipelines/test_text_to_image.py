"""Images: a video of one frame, told by text, by a class, or by nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch.testing import assert_close

from starflow_v import (
    DensityGuidance,
    Guidance,
    LabelEncoder,
    LinearGuidance,
    PixelCodec,
    ScoreDenoiser,
    StarFlowModel,
    StarFlowPipeline,
    StarFlowVPipeline,
)
from starflow_v.denoiser import AsTheyAre
from tests.pipelines.conftest import scatter

LABELS = ["cat", "dog"]


def pixel_pipeline(labels: list[str]) -> StarFlowPipeline:
    torch.manual_seed(0)
    flow = StarFlowModel(
        in_channels=1,
        patch_size=2,
        shallow_width=24,
        deep_width=24,
        shallow_layers=(1, 1),
        deep_layers=1,
        head_dim=24,
        text_dim=8,
        reference_size=4,
    )
    pipe = StarFlowPipeline(
        scatter(flow),
        None,
        PixelCodec(1, 17),
        scatter(LabelEncoder(labels, 8)),
        None,
        noise_std=0.1,
        num_frames=1,
        height=8,
        width=8,
        guidance_scale=1.0,
        tasks=["image"],
        window_frames=1,
        window_overlap=0,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def classes() -> StarFlowPipeline:
    return pixel_pipeline(LABELS)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_temperature_multiplies_the_noise(classes) -> None:
    noise = torch.randn(1, 1, 8, 8, generator=seeded())
    cool, cooler = (
        classes(labels=1, latents=it, temperature=tau, output_type="np").images
        for it, tau in ((noise, 0.5), (0.5 * noise, 1.0))
    )
    np.testing.assert_array_equal(cool, cooler)
    assert (cool != classes(labels=1, latents=noise, output_type="np").images).any()


def test_a_class_by_number_by_name_and_as_a_prompt_is_one_image(classes) -> None:
    one, two, three = (
        classes(**told, generator=seeded(), output_type="np").images
        for told in ({"labels": 1}, {"labels": "dog"}, {"prompt": "dog"})
    )
    assert one.shape == (1, 8, 8, 3)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
    other = classes(labels=0, generator=seeded(), output_type="np").images
    assert not np.array_equal(one, other)


def test_an_image_is_the_frame_of_a_video_of_one(pipe) -> None:
    images = StarFlowPipeline(**pipe.components, **settings_of(pipe))
    images.set_progress_bar_config(disable=True)
    prompt = "a red circle moves right"
    image = images(prompt, generator=seeded(), output_type="pt").images
    video = pipe(prompt, num_frames=1, generator=seeded(), output_type="pt").frames
    assert_close(image, video[:, 0])


def settings_of(pipe: StarFlowVPipeline) -> dict:
    return {
        k: v for k, v in pipe.config.items() if not k.startswith("_") and k not in pipe.components
    }


def test_several_images_of_each_class(classes) -> None:
    images = classes(labels=["cat", 1], num_images_per_prompt=3, generator=seeded()).images
    assert [image.size for image in images] == [(8, 8)] * 6


def test_noise_can_be_given_and_latents_had(classes) -> None:
    noise = torch.randn(2, 1, 8, 8, generator=seeded())
    latents = classes(labels=[0, 1], latents=noise, output_type="latent").images
    assert latents.shape == noise.shape


def test_a_rule_of_guidance_is_an_object(classes) -> None:
    def made(**told) -> np.ndarray:
        return classes(labels=0, generator=seeded(), output_type="latent", **told).images

    density = made(guidance=DensityGuidance(2.0))
    assert_close(density, made(guidance_scale=2.0))
    assert not torch.allclose(density, made(guidance=LinearGuidance(2.0)))
    assert_close(made(guidance=LinearGuidance(0.0)), made(guidance_scale=0.0))
    with pytest.raises(ValueError, match="not both"):
        made(guidance=DensityGuidance(2.0), guidance_scale=2.0)


def test_a_model_without_classes_needs_no_label() -> None:
    pipe = pixel_pipeline([])
    images = pipe(generator=seeded(), num_images_per_prompt=2, output_type="np").images
    assert images.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(images * 16, (images * 16).round(), atol=1e-5)


def test_a_model_without_classes_is_guided_by_the_temperature_of_attention() -> None:
    pipe = pixel_pipeline([])

    def made(guidance: Guidance) -> torch.Tensor:
        return pipe(generator=seeded(), guidance=guidance, output_type="latent").images

    plain = made(DensityGuidance(0.0))
    assert_close(made(DensityGuidance(2.0)), plain)
    assert not torch.allclose(made(DensityGuidance(2.0, 3.0)), plain, atol=1e-4)


def test_what_is_asked_wrongly_is_refused(classes, pipe) -> None:
    with pytest.raises(ValueError, match="cat, dog"):
        classes()
    with pytest.raises(ValueError, match="'bird' is not known"):
        classes(labels="bird")
    with pytest.raises(ValueError, match="not both"):
        classes("cat", labels=0)
    with pytest.raises(ValueError, match="reads text"):
        StarFlowPipeline(**pipe.components, **settings_of(pipe))(labels=0)


def test_a_decoder_that_cleans_is_handed_what_the_flow_makes(classes, tmp_path: Path) -> None:
    classes.save_pretrained(tmp_path)
    cleaning = StarFlowPipeline.from_pretrained(tmp_path, decoder_cleans=True)
    cleaning.save_pretrained(tmp_path / "again")
    again = StarFlowPipeline.from_pretrained(tmp_path / "again")
    assert isinstance(classes.cleaner, ScoreDenoiser)
    for pipe in (cleaning, again):
        pipe.set_progress_bar_config(disable=True)
        assert pipe.cleaner == AsTheyAre()
        noise = torch.randn(1, 1, 8, 8, generator=seeded())
        made = pipe(labels=1, latents=noise, output_type="latent", guidance_scale=0).images
        text, _ = pipe.encode_prompt(["dog"], do_classifier_free_guidance=False)
        assert_close(made, pipe.flow.inverse(noise[:, None], text)[:, 0], atol=1e-5, rtol=1e-5)


def test_noise_of_filled_bins_stays_within_them(classes) -> None:
    """Known pixels were given Gaussian noise, a twelfth of which leaves the bin."""
    filled = StarFlowPipeline(**classes.components, decoder_cleans=True)
    noisy = filled.noised(torch.zeros(100_000), torch.randn(100_000))
    assert noisy.abs().max() <= 1 / 17
    assert_close(noisy.std().item(), classes.vae.bin_std, atol=1e-3, rtol=0)


def test_two_that_clean_are_one_too_many(pipe) -> None:
    parts = pipe.components
    with pytest.raises(ValueError, match="the decoder cleans, but there is a denoiser"):
        type(pipe)(**parts | {"denoiser": object()}, decoder_cleans=True)


def test_a_saved_folder_makes_the_same_image(classes, tmp_path: Path) -> None:
    classes.save_pretrained(tmp_path)
    for kind in (StarFlowPipeline, StarFlowVPipeline):
        again = kind.from_pretrained(tmp_path)
        assert isinstance(again.text_encoder, LabelEncoder)
        made = (
            again(prompt="dog", num_frames=1, generator=seeded(), output_type="pt")
            if (kind is StarFlowVPipeline)
            else again(labels="dog", generator=seeded(), output_type="pt")
        )
        frames = made.frames[:, 0] if kind is StarFlowVPipeline else made.images
        assert_close(frames, classes(labels=1, generator=seeded(), output_type="pt").images)


def test_inpainting_keeps_what_is_known_and_moves_what_is_not(classes) -> None:
    image = (torch.arange(64).view(8, 8) // 4 * 16).clamp(max=255).byte().numpy()
    image, mask = np.stack([image] * 3, -1), np.zeros((8, 8, 3), np.uint8)
    mask[4:] = 255
    told = {"labels": 0, "steps": 20, "num_images": 2, "output_type": "np"}
    made = classes.inpaint(image, mask, generator=seeded(), **told)
    assert made.images.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(made.images[:, :4], np.stack([image[:4] / 255] * 2), atol=1e-6)
    assert not np.allclose(made.images[0, 4:], made.images[1, 4:])
    again = classes.inpaint(image, mask, generator=seeded(), **told)
    np.testing.assert_array_equal(made.images, again.images)
    with pytest.raises(ValueError, match="black all over"):
        classes.inpaint(image, np.zeros_like(mask), labels=0)


def test_an_image_vae_makes_images_of_text(pipe) -> None:
    """The first STARFlow: `AutoencoderKL`, whose latents are told by text."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.5,
    )
    settings = settings_of(pipe) | {"num_frames": 1, "height": 8, "width": 12}
    images = StarFlowPipeline(**{**pipe.components, "denoiser": None, "vae": vae}, **settings)
    images.set_progress_bar_config(disable=True)
    made = images(
        "a red circle", num_images_per_prompt=2, generator=seeded(), output_type="pt"
    ).images
    assert made.shape == (2, 3, 8, 12)
    tall = images("a red circle", height=12, width=8, generator=seeded(), output_type="pt").images
    assert tall.shape == (1, 3, 12, 8)
