import os
from pathlib import Path
from typing import Any

import pytest

from starflow_v.studio.limits import Limits
from starflow_v.studio.server import Door, _settings
from starflow_v.studio.studio import Studio


def test_only_this_computer_is_let_in_without_a_password() -> None:
    assert Door().is_local and Door(host="localhost").is_local
    for host in ("0.0.0.0", "::", "192.168.0.7"):
        with pytest.raises(ValueError, match="give a password"):
            Door(host=host)
        assert not Door(host=host, password="long enough").is_local


def test_short_passwords_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 8"):
        Door(password="1234567")


def test_the_password_counts_and_the_name_does_not() -> None:
    door = Door(host="0.0.0.0", password="pässword")
    assert door.admits("anybody", "pässword")
    assert not door.admits("anybody", "password") and not door.admits("", "")
    assert not Door().admits("anybody", "")


def test_nothing_is_fetched_shared_or_told(tmp_path: Path) -> None:
    gradio = pytest.importorskip("gradio", reason="the extra studio is not installed")
    settings = _settings(Door(), Limits(), root=tmp_path, inbrowser=False)
    for name in ("share", "ssr_mode", "pwa", "mcp_server", "run_history", "enable_monitoring"):
        assert settings[name] is False
    look = settings["theme"]
    assert isinstance(look, gradio.themes.Base)
    sheets = [look._get_theme_css(), *(path.read_text() for path in settings["css_paths"])]
    assert look._stylesheets == []
    assert not any("@import" in sheet or "url(http" in sheet for sheet in sheets)


def test_the_page_is_built_for_the_model(studio: Studio) -> None:
    pytest.importorskip("gradio", reason="the extra studio is not installed")
    from starflow_v.studio.app import build
    from starflow_v.studio.examples import Examples

    page = build(studio, Examples())
    labels = labels_of(page)
    assert {"Generate", "Animate", "Edit", "Score", "Seed", "Size", "Solver"} <= labels
    assert "Extend" not in labels, "the model was not trained for it"
    assert all(fn.api_visibility == "private" for fn in page.fns.values())


def test_a_model_of_every_task_has_every_tab(skilled: Studio) -> None:
    pytest.importorskip("gradio", reason="the extra studio is not installed")
    from starflow_v.studio.app import build
    from starflow_v.studio.examples import Examples

    page = build(skilled, Examples())
    assert {"Extend", "New frames, 8 a second", "What is made"} <= labels_of(page)
    assert all(fn.api_visibility == "private" for fn in page.fns.values())


def labels_of(page: Any) -> set[str]:
    return {block.label for block in page.blocks.values() if hasattr(block, "label")}


def test_only_uploads_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="the extra studio is not installed")
    from starflow_v.studio.tabs.source import uploaded_path

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    inside = tmp_path / "uploads" / "hash" / "a.png"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"x")
    assert uploaded_path({"path": str(inside)}) == inside.resolve()
    (tmp_path / "secret").write_bytes(b"x")
    os.symlink(tmp_path / "secret", inside.with_name("link"))
    for named in (
        str(tmp_path / "secret"),
        str(inside.parent / ".." / ".." / "secret"),
        str(inside.with_name("link")),
        str(inside.parent),
        "http://example.org/a.png",
        "a\0b",
        7,
        None,
    ):
        with pytest.raises(ValueError, match="did not arrive"):
            uploaded_path({"path": named})
    with pytest.raises(ValueError, match="did not arrive"):
        uploaded_path(None)
