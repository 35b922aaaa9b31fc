"""The studio without a page: what visitors may do, and what becomes of it when they leave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from starflow_v.cli.common.settings import Wishes
from starflow_v.cli.common.tasks import Animate, Edit, Extend, Generate, Task
from starflow_v.data.scenes import Region
from starflow_v.data.video_io import Frame
from starflow_v.studio.asking import Order, read_draws, read_seed
from starflow_v.studio.hole import as_mask, without
from starflow_v.studio.limits import Limits
from starflow_v.studio.line import Job, Line
from starflow_v.studio.session import Result, Session, Sessions, mask_path
from starflow_v.studio.uploads import Upload, receive_clip, receive_image
from starflow_v.studio.workshop import Making, Scoring, Workshop


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place on the page that takes a file.

    Args:
        name: its own.
        image: whether it takes a picture, rather than a clip.
        what: what it takes, in words.
    """

    name: str
    image: bool
    what: str


ANIMATE, EXTEND, EDIT, MASK, SCORE = (
    Place(name="animate", image=True, what="an image"),
    Place(name="extend", image=False, what="a clip"),
    Place(name="edit", image=False, what="a clip"),
    Place(name="mask", image=True, what="a picture, white where it is made"),
    Place(name="score", image=False, what="a clip"),
)


class Studio:
    """A model, the queue before it, and the pages that are open.

    Args:
        workshop: the model.
        root: a folder for everything that pages hold.
        limits: how much a visitor may ask for.
    """

    def __init__(self, workshop: Workshop, root: Path, limits: Limits) -> None:
        self.workshop, self.limits = workshop, limits
        self.choices = workshop.choices(limits)
        self.line = Line(longest=limits.waiting)
        self.sessions = Sessions(root, limits)

    def receive(self, page: str, place: Place, source: Path) -> Upload:
        """Take in a file; the one that was there before goes out of use."""
        session = self.sessions.of(page)
        receive = receive_image if place.image else receive_clip
        upload = receive(source, session.upload_path(), self.workshop.pipe, self.limits)
        session.put(place.name, upload)
        return upload

    def use(self, page: str, place: Place, upload: Upload) -> None:
        """Put an example in a place."""
        self.sessions.of(page).put(place.name, upload)

    def forget(self, page: str, place: Place) -> None:
        """The file of a place is not wanted any more."""
        self.sessions.of(page).uploads.pop(place.name, None)

    def hidden(self, page: str, hole: Region) -> Frame | None:
        """The first frame of the clip to be edited, gray where it is made; `None`: no clip."""
        session = self.sessions.of(page)
        clip = session.uploads.get(EDIT.name)
        if clip is None:
            return None
        given = session.uploads.get(MASK.name)
        mask = as_mask(hole, clip.own_size) if given is None else given.shown[0]
        return without(clip.shown[0], mask)

    def make(
        self,
        page: str,
        prompt: object,
        seed: object,
        wishes: Wishes,
        place: Place | None = None,
        *,
        hole: Region | None = None,
    ) -> Making:
        """Queue a video, from words alone or from the file of a place.

        Args:
            page: who asks.
            prompt: what is told.
            seed: of the noise.
            wishes: how it is made.
            place: holds the file.
            hole: of an edit, the part that is made, unless a mask was given; `None`: all of it.
        """
        session = self.sessions.of(page)
        session.refuse_second_job()
        text, number = self.limits.check_prompt(prompt), read_seed(seed)
        video = session.video_path(text, number)
        order = Order(
            task=_task(session, place, video, hole), prompt=text, seed=number, wishes=wishes
        )
        job = Making(self.workshop, order, video)
        job.when_over(lambda: self._keep(page, job))
        self._enter(session, job)
        return job

    def score(self, page: str, prompt: object, draws: object, seed: object) -> Scoring:
        """Queue the score of the clip that was given for it."""
        session = self.sessions.of(page)
        session.refuse_second_job()
        job = Scoring(
            self.workshop,
            _upload(session, SCORE).path,
            self.limits.check_prompt(prompt),
            draws=read_draws(draws, self.limits),
            seed=read_seed(seed),
        )
        self._enter(session, job)
        return job

    def stop(self, page: str) -> None:
        """End the page's job; what exists is kept."""
        session = self.sessions.find(page)
        if session is not None and session.job is not None:
            self.line.leave(session.job)

    def leave(self, page: str) -> None:
        """The page was closed: its work stops, its files go."""
        session = self.sessions.take(page)
        if session is not None:
            self._end(session)

    def close(self) -> None:
        """The server ends."""
        self.line.close()
        for session in self.sessions.take_all():
            self._end(session)

    def _keep(self, page: str, job: Making) -> None:
        """Put what a job made, whole or not, into the page's gallery, if the page is open."""
        session = self.sessions.find(page)
        if session is not None and job.record is not None:
            session.add(Result(video=job.video, record=job.record))
        elif job.record is None:
            mask_path(job.video).unlink(missing_ok=True)

    def _enter(self, session: Session, job: Job) -> None:
        self.line.enter(job)
        session.job = job

    def _end(self, session: Session) -> None:
        """The job at work may write one more frame: its folder goes when it is over."""
        job = session.job
        if job is None or job.over:
            session.close()
        else:
            job.when_over(session.close)
            self.line.leave(job)


def _task(session: Session, place: Place | None, video: Path, hole: Region | None) -> Task:
    if place is None:
        return Generate()
    upload = _upload(session, place)
    if place is ANIMATE:
        return Animate(image=upload.path)
    if place is EXTEND:
        return Extend(video=upload.path)
    mask = None if hole is None else _mask(session, upload, mask_path(video), hole)
    return Edit(video=upload.path, mask=mask)


def _mask(session: Session, clip: Upload, path: Path, hole: Region) -> Path:
    """The mask that was given, or a picture of the hole, of the size of the clip's own frames."""
    given = session.uploads.get(MASK.name)
    if given is not None:
        return given.path
    Image.fromarray(as_mask(hole, clip.own_size)).save(path)
    return path


def _upload(session: Session, place: Place) -> Upload:
    upload = session.uploads.get(place.name)
    if upload is None:
        raise ValueError(f"Give {place.what} first.")
    return upload
