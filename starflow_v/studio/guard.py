"""What stands before the server: requests that no page of the studio makes are refused.

- under another name: a web site may let its own name point to this computer, and then read the
  answers of a server that trusts whoever is local (DNS rebinding);
- from another origin: any web site may have its visitors' browsers send requests to this computer;
- larger than the largest upload;
- for addresses elsewhere: the server would fetch them.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class TooLargeError(Exception):
    """More came than was announced or is allowed."""


class Guard:
    """ASGI middleware.

    Args:
        app: what it guards.
        most_bytes: of a request's body.
        hosts: names under which the server may be asked; `None`: any.
    """

    def __init__(
        self, app: ASGIApp, *, most_bytes: int, hosts: frozenset[str] | None = None
    ) -> None:
        self._app, self._most, self._hosts = app, most_bytes, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, self._counted(receive), watched)
        except TooLargeError:
            if not began:
                await _too_large()(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._hosts is not None and name not in self._hosts:
            return PlainTextResponse("unknown host", 421)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("requests of other sites are refused", 403)
        if _names_an_address(scope["path"]):
            return PlainTextResponse("only files of the studio are handed out", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._most:
            return _too_large()
        return None

    def _counted(self, receive: Receive) -> Receive:
        """The same body, which must not be longer than allowed, whatever was announced."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise TooLargeError
            return message

        return counted


def _names_an_address(path: str) -> bool:
    """Whether the path asks for a file of another server."""
    _, found, named = unquote(path).partition("/file=")
    return (bool(found) and "://" in named) or "/proxy=" in path


def _too_large() -> PlainTextResponse:
    return PlainTextResponse("too large", 413)
