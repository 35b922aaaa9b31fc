"""What a page shows of a job, of its results and of its uploads, as HTML.

Whatever visitors wrote goes through `plain`.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from starflow_v.cli.common.names import record_path
from starflow_v.cli.common.record import Record
from starflow_v.data.video_io import Frame
from starflow_v.studio import preview
from starflow_v.studio.line import Job, State
from starflow_v.studio.session import Result
from starflow_v.studio.uploads import Upload
from starflow_v.studio.workshop import MOST_TILES, Making, Progress

FILES = "gradio_api/file="
"""Where the server hands out files, seen from the page."""


def plain(text: str) -> str:
    """Text as text: neither HTML nor a template of the page can be made of it."""
    escaped = html.escape(text)
    return escaped.translate({ord(sign): f"&#{ord(sign)};" for sign in "${}`\\"})


def notice(text: str, *, bad: bool = False) -> str:
    """A line that tells something."""
    role = "alert" if bad else "status"
    kind = " bad" if bad else ""
    return f'<p class="notice{kind}" role="{role}" dir="auto">{plain(text)}</p>'


def empty_screen() -> str:
    """Before anything was made."""
    return '<div class="screen empty"><span>The frames appear here as they are made.</span></div>'


def standing(job: Job, place: int) -> str | None:
    """Of any job: its place in the queue, or why nothing came of it; `None` while all is well."""
    if job.state is State.WAITING:
        return _bar(0, f"<b>{place}</b> before you in the queue")
    if job.state is State.FAILED:
        return notice(job.failure, bad=True)
    if job.state is State.STOPPED:
        return notice("Stopped before it began.")
    return None


def figures(job: Making, place: int) -> str:
    """Where a video stands, in numbers: its place in the queue, or frames, seconds and speed."""
    told = standing(job, place)
    if told is not None:
        return told
    known = job.progress
    if known is None or not known.latents:
        return _bar(0, f"Getting ready · <b>{job.seconds:.1f}</b> s")
    done, total = known.latents, known.total_latents
    speed = known.frames / max(job.seconds, 1e-6)
    parts = [
        f"latent frame <b>{done}</b> of {total}",
        f"<b>{job.seconds:.1f}</b> s",
        f"<b>{speed:.1f}</b> frames per second",
    ]
    if job.over and known.first_after is not None:
        whole = known.frames == known.total_frames
        parts.insert(0, "Done" if whole else f"Stopped, {known.frames} frames kept")
        parts.append(f"first frame after {known.first_after:.1f} s")
    elif job.stopping:
        parts.insert(0, "Stopping")
    return _bar(done / total, " · ".join(parts))


def screen(job: Making) -> str:
    """The video so far, moving, beside its source if there is one; when it is over, the file."""
    known = job.progress
    if job.state is State.DONE and job.record is not None and known is not None:
        shown = job.comparison or job.video
        return _frame(_player(shown), known) + _tiles(known, job)
    if known is None or not known.latents:
        return empty_screen()
    moving = preview.moving(known.newest, known.settings.frame_rate, newest=known.fresh)
    image = f'<img alt="the video so far" src="{moving}">'
    return _frame(image, known) + _tiles(known, job)


def gallery(results: Sequence[Result]) -> str:
    """What was made on the page, the newest first."""
    if not results:
        return ""
    cards = "".join(_card(result) for result in results)
    return f'<h2 class="made">Made on this page</h2><div class="cards">{cards}</div>'


def given(upload: Upload, fps: float) -> str:
    """A file that was taken in, as the model sees it."""
    height, width = upload.size
    facts = f"{width}×{height}" + (f", {upload.count} frames" if upload.count > 1 else "")
    name, shown = plain(upload.name), upload.shown
    source = preview.moving(shown, fps) if len(shown) > 1 else preview.still(shown[0])
    return (
        f'<figure class="given"><img alt="the file as the model sees it" class="{_sharp(height)}" '
        f'src="{source}"><figcaption><span dir="auto">{name}</span><br>as the model sees it: '
        f"{facts}</figcaption></figure>"
    )


def hole(frame: Frame | None) -> str:
    """What the model sees of a clip that is to be filled in; nothing before there is a clip."""
    if frame is None:
        return ""
    return (
        f'<figure class="given"><img alt="the clip without what is to be made" '
        f'class="{_sharp(frame.shape[0])}" src="{preview.still(frame)}"><figcaption>gray is to be '
        "made, the rest stays</figcaption></figure>"
    )


def link(path: Path) -> str:
    """The address of a file."""
    return FILES + quote(str(path))


def _bar(share: float, text: str) -> str:
    return (
        f'<div class="figures" role="status"><div class="bar"><i style="width:{share:.1%}"></i>'
        f"</div><span>{text}</span></div>"
    )


def _frame(inner: str, known: Progress) -> str:
    pair = known.beside
    settings = known.settings
    width = settings.width * 2 + preview.GAP if pair else settings.width
    names = '<div class="sides"><span>given</span><span>made</span></div>' if pair else ""
    style = f"aspect-ratio:{width}/{settings.height}"
    return (
        f'<div class="screen {_sharp(settings.height)}"><div class="picture{" pair" * pair}" '
        f'style="{style}">{inner}</div>{names}</div>'
    )


def _player(video: Path) -> str:
    return f'<video src="{link(video)}" controls autoplay loop muted playsinline></video>'


def _tiles(known: Progress, job: Job) -> str:
    """The last picture of each latent frame, and places for those to come."""
    if not 1 < known.total_latents <= MOST_TILES:
        return ""
    pictures = [
        f'<img alt="latent frame {number}" src="{tile}">'
        for number, tile in enumerate(known.tiles, start=1)
    ]
    missing = 0 if job.over else known.total_latents - len(pictures)
    return (
        f'<div class="tiles {_sharp(known.settings.height)}">{"".join(pictures)}'
        f"{'<i></i>' * missing}</div>"
    )


def _card(result: Result) -> str:
    record, video = result.record, result.video
    shown = video.with_suffix(".compare.mp4")
    shown = shown if shown.exists() else video
    links = [_download(video, "mp4"), _download(record_path(video), "json")]
    links += [_download(path, name) for name, path in result.sources.items()]
    return (
        f'<article class="card {_sharp(record.settings.height)}"><video src="{link(shown)}" '
        'muted loop playsinline preload="auto" tabindex="0" onmouseenter="this.play()" '
        'onmouseleave="this.pause()" onclick="this.paused?this.play():this.pause()"></video>'
        f'<p dir="auto" title="{plain(record.clip.prompt[:300])}">{plain(record.clip.prompt)}</p>'
        f"<small>{_facts(record)}</small><nav>{' '.join(links)}</nav></article>"
    )


def _facts(record: Record) -> str:
    settings = record.settings
    frames = str(record.frames)
    if record.frames < record.total_frames:
        frames += f" of {record.total_frames}"
    return (
        f"{plain(record.task)} · seed {record.clip.seed} · {frames} frames · "
        f"{settings.width}×{settings.height} · {record.seconds:.1f} s"
    )


def _download(path: Path, name: str) -> str:
    return f'<a href="{link(path)}" download="{plain(path.name)}">{name}</a>'


def _sharp(height: int) -> str:
    return "sharp" if height < preview.SHARP else "smooth"
