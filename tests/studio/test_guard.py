import asyncio
from collections.abc import Iterable

import pytest

pytest.importorskip("starlette", reason="the extra studio is not installed")

from starflow_v.studio.guard import LOCAL, Guard


async def echo(scope, receive, send) -> None:
    """Reads the whole body and tells its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def status(path: str = "/", *, body: Iterable[bytes] = (b"",), hosts=LOCAL, **headers: str) -> int:
    """What a request is answered."""
    parts = list(body)
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]
    named = {"host": "127.0.0.1:7860"} | {key.replace("_", "-"): it for key, it in headers.items()}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(key.encode(), it.encode()) for key, it in named.items()],
    }
    answers = []

    async def receive():
        return messages.pop(0)

    async def send(message) -> None:
        answers.append(message)

    asyncio.run(Guard(echo, most_bytes=100, hosts=hosts)(scope, receive, send))
    return answers[0]["status"]


def test_the_page_itself_passes() -> None:
    assert status() == 200
    assert status(origin="http://127.0.0.1:7860", body=[b"x" * 100], content_length="100") == 200
    assert status(host="localhost:1") == 200 and status(host="[::1]:7860") == 200


def test_other_names_of_this_computer_are_refused() -> None:
    assert status(host="evil.example:7860") == 421
    assert status(host="") == 421
    assert status(host="studio.example", hosts=None) == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_other_sites_are_refused(origin: str) -> None:
    assert status(origin=origin) == 403


@pytest.mark.parametrize("length", ["101", "-1", "1e9", "many"])
def test_what_says_that_it_is_too_large_is_refused(length: str) -> None:
    assert status(content_length=length) == 413


def test_what_is_too_large_without_saying_so_is_refused() -> None:
    assert status(body=[b"x" * 60, b"x" * 60]) == 413


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://example.org/x",
        "/gradio_api/file=https%3A//example.org",
        "/gradio_api/proxy=http://example.org",
    ],
)
def test_nothing_is_fetched_from_elsewhere(path: str) -> None:
    assert status(path) == 403
    assert status("/gradio_api/file=/tmp/a.mp4") == 200
