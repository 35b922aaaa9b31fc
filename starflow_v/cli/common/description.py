"""A model in a few facts, for `starflow-v info`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from starflow_v.cli.common.model_folder import Component, ModelFolder
from starflow_v.pipelines.windows import window_sizes

DEFAULTS = ("height", "width", "num_frames", "frame_rate", "guidance_scale")
CONDITION_NAMES = {
    "fps": "frames per second",
    "aspect_ratio": "aspect ratio",
    "noise_std": "noise level",
}


def describe_model(model: ModelFolder) -> dict[str, Any]:
    """The facts, for programs; what the folder does not say is None."""
    config = model.config
    return {
        "path": str(model.path),
        "class": model.kind,
        "parameters": sum(part.parameters() for part in model.components),
        "parts": dict(_describe_parts(model)),
        "defaults": {name: config.get(name) for name in DEFAULTS},
        "tokens": _describe_tokens(model),
        "text_length": config.get("text_length"),
        "words": _words(model),
        "conditions": config.get("conditions"),
        "tasks": config.get("tasks"),
        "window": _describe_window(config),
    }


def _describe_window(config: Mapping[str, Any]) -> dict[str, int | None]:
    if config.get("window_frames") is None:
        return {"frames": None, "overlap": None}
    frames, overlap = window_sizes(config)
    return {"frames": frames, "overlap": overlap}


def _describe_parts(model: ModelFolder) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every component; the flow also by its two halves."""
    for part in model.components:
        facts = {"class": part.kind, "precision": list(part.dtypes)}
        yield part.name, {**facts, "parameters": part.parameters()}
        if part.kind == "StarFlowModel":
            for half in ("shallow", "deep"):
                yield f"flow.{half}", {**facts, "parameters": part.parameters(f"{half}.")}


def _describe_tokens(model: ModelFolder) -> dict[str, int] | None:
    """Tokens of a video of the default size; None where sizes are not told."""
    config = model.config
    told = all(config.get(name) for name in ("height", "width", "num_frames"))
    multiple = size_multiple(model)
    if not told or multiple is None:
        return None
    flow = model["flow"].config
    return {
        "per_frame": (config["height"] // multiple) * (config["width"] // multiple),
        "frames": 1 + (config["num_frames"] - 1) // 4,
        "channels": flow["in_channels"] * flow["patch_size"] ** 2,
        "pixels": multiple,
    }


def size_multiple(model: ModelFolder) -> int | None:
    """Heights and widths are multiples of this many pixels; None where the parts do not tell."""
    if "flow" not in model or "vae" not in model:
        return None
    return spatial_factor(model["vae"]) * int(model["flow"].config["patch_size"])


def spatial_factor(vae: Component) -> int:
    """Pixel rows per latent row, from the configuration of any of the VAEs that pipelines take."""
    config = vae.config
    patch = config.get("patch_size") or 1
    levels = config.get("dim_mult") or config.get("block_out_channels") or [1]
    return int(patch * 2 ** (len(levels) - 1))


def _words(model: ModelFolder) -> list[str] | None:
    """The words that a word-level tokenizer knows; None for others, which spell any word."""
    path = model.path / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = json.loads(path.read_text("utf-8"))["model"]
    if tokenizer.get("type") != "WordLevel":
        return None
    return sorted(word for word in tokenizer["vocab"] if word.isalpha())


def as_text(facts: dict[str, Any]) -> str:
    """The facts, for people."""
    lines = [f"{facts['path']}: {facts['class']}, {facts['parameters']:,} parameters", ""]
    lines += [f"{name:10}  {text}" for name, text in _sentences(facts)]
    return "\n".join([*lines, "", *_table(facts["parts"])])


def _sentences(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    defaults, tokens, window = facts["defaults"], facts["tokens"], facts["window"]
    yield (
        "video",
        "{num_frames} frames of {width}x{height} at {frame_rate} fps, guidance "
        "{guidance_scale}, unless told otherwise".format(**defaults),
    )
    if tokens is not None:
        total = tokens["per_frame"] * tokens["frames"]
        yield "sizes", f"multiples of {tokens['pixels']} pixels"
        yield (
            "tokens",
            f"{tokens['per_frame']} a frame, {tokens['channels']} numbers each; {total} in "
            f"{tokens['frames']} latent frames",
        )
    if window["frames"] is not None:
        frames, overlap = window["frames"], window["overlap"]
        yield "window", f"{frames} latent frames, then a restart with the last {overlap}"
    yield "text", f"up to {facts['text_length']} tokens"
    if facts["words"] is not None:
        yield "words", f"{len(facts['words'])}: {' '.join(facts['words'])}"
    told = [CONDITION_NAMES.get(name, name) for name in facts["conditions"] or []]
    yield "conditions", ", ".join(told) or "none beside the prompt"
    if facts["tasks"]:
        yield "trained on", ", ".join(facts["tasks"])


def _table(parts: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The parts, one a line, under a heading."""
    rows = [("part", "class", "parameters", "precision")]
    for name, part in parts.items():
        count = f"{part['parameters']:,}" if part["parameters"] else ""
        rows.append((name, part["class"], count, ", ".join(part["precision"])))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, kind, count, precision in rows:
        line = f"{name:{widths[0]}}  {kind:{widths[1]}}  {count:>{widths[2]}}  {precision}"
        yield line.rstrip()
