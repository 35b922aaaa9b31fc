"""How much a visitor may ask for: the bounds of uploads, prompts, videos and of the queue."""

from dataclasses import dataclass

from starflow_v.data.video_io import MediaLimits

MB = 2**20
MEDIA = MediaLimits(max_pixels=4096 * 2304, max_frames=1800, max_bytes=512 * MB)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of a studio."""

    upload_bytes: int = 64 * MB
    """Of one file."""
    media: MediaLimits = MEDIA
    """Of the pictures in it."""
    seconds: float = 30.0
    """Of a clip, as it is played."""
    prompt_characters: int = 2000
    times_longer: int = 8
    """A video may have so many times the model's own frames."""
    guidance: float = 20.0
    draws: int = 32
    """Of the noise, when a clip is scored."""
    waiting: int = 16
    """Jobs that wait for the device."""
    results: int = 24
    """Videos that a page keeps; older ones go."""

    def check_prompt(self, prompt: object) -> str:
        """The prompt itself, or a `ValueError` that says why it is none."""
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("Say what the video shows, such as: a red circle moves right.")
        if len(prompt) > self.prompt_characters:
            raise ValueError(
                f"The prompt has {len(prompt):,} characters; at most {self.prompt_characters:,} "
                "are read. Say it in fewer words."
            )
        if any(0xD800 <= ord(sign) <= 0xDFFF for sign in prompt):
            raise ValueError("The prompt holds signs that are no text.")
        return prompt
