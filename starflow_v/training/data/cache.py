"""Making the caches of a run ahead of it: latents, and embeddings where the text encoder is
frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from starflow_v.training.data.flow_data import load_codec
from starflow_v.training.data.sources import open_data
from starflow_v.training.flow_text import CachedText, open_text
from starflow_v.training.recipes import load_settings


def build_cache(config: str | Path, overrides: Sequence[str] = ()) -> Iterator[str]:
    """Make what the caches of a configuration lack, and tell what is in them, line by line.

    Of several processes each makes its share, and what others have not made yet is told as such;
    embeddings come when all latents are there, because the sizes of clips are told in captions.
    """
    settings = load_settings(config, overrides)
    data = open_data(settings, load_codec(settings))
    data.build(wait=settings.text.cache)
    missing = data.missing()
    if missing:
        yield f"{missing} shards of {data.folder} are left to other processes"
        return
    for (task, size), count in data.latents.sizes().items():
        yield f"{task} {size}: {count} clips"
    yield f"held out: {sum(data.held_out.sizes().values())} clips"
    if settings.text.cache:
        text = open_text(settings, data)
        assert isinstance(text, CachedText)
        yield f"text: {len(text.cache)} captions"
    yield f"the cache is in {data.folder}"
