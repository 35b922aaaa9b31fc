"""What one page holds: its uploads, its videos, the job that it waits for, in a folder that goes
with it."""

from __future__ import annotations

import secrets
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from starflow_v.cli.common.names import clip_name, comparison_paths, record_path
from starflow_v.cli.common.record import Record
from starflow_v.studio.limits import Limits
from starflow_v.studio.line import Job
from starflow_v.studio.uploads import Upload


@dataclass(frozen=True, kw_only=True)
class Result:
    """A video that was made on the page."""

    video: Path
    record: Record

    @property
    def files(self) -> list[Path]:
        """All of its own: the video, its record; a comparison and a mask if there are any."""
        video = self.video
        return [video, record_path(video), mask_path(video), *comparison_paths(video)]

    @property
    def sources(self) -> dict[str, Path]:
        """The files that it was made from, which the record names: "source", perhaps "mask"."""
        given = self.record.given.items()
        return {"mask" if name == "mask" else "source": Path(file.path) for name, file in given}


def mask_path(video: Path) -> Path:
    """Where the mask of a video is drawn."""
    return video.with_suffix(".mask.png")


class Session:
    """One page.

    Args:
        folder: an empty folder of its own; it goes with the page.
        limits: how much it may keep.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self._limits = folder, limits
        self.uploads: dict[str, Upload] = {}
        """By the name of their place on the page, such as "edit"."""
        self.results: list[Result] = []
        """The newest first."""
        self.job: Job | None = None
        """What it waits for, or was given last."""
        self._made = 0
        self.folder.mkdir(parents=True)

    def refuse_second_job(self) -> None:
        """A page asks for one thing at a time."""
        if self.job is not None and not self.job.over:
            raise ValueError("This page is at work already. Stop that first, or wait.")

    def video_path(self, prompt: str, seed: int) -> Path:
        """Where the next video goes: a name that no prompt can bend."""
        self._made += 1
        return self.folder / clip_name(prompt, seed, index=self._made)

    def upload_path(self) -> Path:
        """Where the next upload goes, without a suffix."""
        self._made += 1
        return self.folder / f"{self._made:04d}-given"

    def put(self, place: str, upload: Upload) -> None:
        """Give a place another file; the one before goes unless something was made from it."""
        old = self.uploads.get(place)
        self.uploads[place] = upload
        if old is None or old.path.parent != self.folder:  # examples are everybody's
            return
        wanted = set() if self.job is None or self.job.over else set(self.job.files)
        wanted.update(*(result.sources.values() for result in self.results))
        if old.path not in wanted:
            old.path.unlink(missing_ok=True)

    def add(self, result: Result) -> None:
        """Keep a video; beyond the limit the oldest one goes."""
        self.results.insert(0, result)
        for old in self.results[self._limits.results :]:
            for path in old.files:
                path.unlink(missing_ok=True)
        del self.results[self._limits.results :]

    def close(self) -> None:
        """The folder goes."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """All pages that are open, by the hash that the browser was given.

    Args:
        root: where their folders are made.
        limits: of each page.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def of(self, name: str) -> Session:
        """The page's session, new if need be. Its folder's name cannot be guessed."""
        with self._lock:
            if name not in self._open:
                folder = self._root / secrets.token_urlsafe(16)
                self._open[name] = Session(folder, self._limits)
            return self._open[name]

    def find(self, name: str) -> Session | None:
        """The session of a page, if it is open."""
        return self._open.get(name)

    def take(self, name: str) -> Session | None:
        """The session of a page that was closed, to be ended; `None` if there is none."""
        with self._lock:
            return self._open.pop(name, None)

    def take_all(self) -> list[Session]:
        """Every session, to be ended."""
        with self._lock:
            taken = list(self._open.values())
            self._open.clear()
            return taken
