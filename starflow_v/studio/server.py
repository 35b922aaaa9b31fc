"""Who may reach the studio, and for how long it stays: from the model to the last visitor."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starflow_v.studio.limits import Limits

if TYPE_CHECKING:
    from starflow_v.studio.workshop import Workshop

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_PASSWORD = 8
HERE = Path(__file__).parent
ROOM = 2**20
"""Bytes around an upload in its request."""
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "*",
}
"""Nothing is told to anybody, and nothing is fetched; the server asks itself without a proxy."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where the studio is reached."""

    host: str = "127.0.0.1"
    port: int | None = None
    """`None`: the first that is free from 7860 on."""
    password: str | None = None

    def __post_init__(self) -> None:
        if self.password is not None and len(self.password) < SHORTEST_PASSWORD:
            raise ValueError(
                f"the password has {len(self.password)} characters; expected at least "
                f"{SHORTEST_PASSWORD}"
            )
        if not self.is_local and self.password is None:
            raise ValueError(
                f"--host {self.host} lets others in; give a password for them by --password-file, "
                "or leave it at 127.0.0.1"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this computer reaches it."""
        return self.host in LOOPBACK

    def admits(self, _user: str, password: str) -> bool:
        """Whether somebody may come in; the name does not matter."""
        return self.password is not None and compare_digest(
            password.encode(), self.password.encode()
        )


def serve(
    workshop: Workshop,
    door: Door,
    limits: Limits,
    *,
    inbrowser: bool,
    started: Callable[[str], None],
) -> None:
    """Keep the studio open until Ctrl-C; then its work stops and its files go.

    Args:
        workshop: the model.
        door: where it is reached.
        limits: how much a visitor may ask for.
        inbrowser: whether a browser is opened.
        started: told the address.
    """
    folder = tempfile.TemporaryDirectory(prefix="starflow-v-studio-", ignore_cleanup_errors=True)
    with folder as name:
        root = Path(name).resolve()
        os.environ.update(QUIET, GRADIO_TEMP_DIR=str(root / "uploads"))
        (root / "uploads").mkdir()
        with _opened(workshop, door, limits, root=root, inbrowser=inbrowser) as page:
            started(page.local_url)
            with suppress(KeyboardInterrupt):
                while page.server.thread.is_alive():
                    page.server.thread.join(1)


@contextmanager
def _opened(
    workshop: Workshop, door: Door, limits: Limits, *, root: Path, inbrowser: bool
) -> Iterator[Any]:
    """The page, being served."""
    from starflow_v.studio.app import build
    from starflow_v.studio.examples import make_examples
    from starflow_v.studio.studio import Studio

    studio = Studio(workshop, root / "pages", limits)
    page = build(studio, make_examples(workshop.pipe, root / "examples"))
    try:
        page.launch(**_settings(door, limits, root=root, inbrowser=inbrowser))
        yield page
    finally:
        page.close(verbose=False)
        studio.close()


def _settings(door: Door, limits: Limits, *, root: Path, inbrowser: bool) -> dict[str, Any]:
    """How Gradio serves."""
    from starlette.middleware import Middleware

    from starflow_v.studio.app import theme
    from starflow_v.studio.guard import LOCAL, Guard

    guard = Middleware(
        Guard,
        most_bytes=limits.upload_bytes + ROOM,
        hosts=LOCAL if door.is_local else None,
    )
    return {
        "server_name": f"[{door.host}]" if ":" in door.host else door.host,
        "server_port": door.port,
        "auth": door.admits if door.password is not None else None,
        "inbrowser": inbrowser,
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        "_frontend": False,  # else it gives up where it does not answer itself within 3 seconds
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": [],
        "max_file_size": limits.upload_bytes,
        "allowed_paths": [str(root / "pages"), str(root / "examples")],
        "app_kwargs": {"middleware": [guard], "docs_url": None, "redoc_url": None},
        "favicon_path": str(HERE / "icon.svg"),
        "theme": theme(),
        "css_paths": [HERE / "style.css"],
    }
