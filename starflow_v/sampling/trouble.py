"""An error that is kept until what came before it has been handed on."""

from __future__ import annotations


class Trouble:
    """Raises, once, what it was given to keep."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def keep(self, error: BaseException | None) -> None:
        """In the place of what was kept before; `None`: nothing."""
        self._error = error

    def check(self) -> None:
        """Raise it, if there is one."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # it and its traceback would hold each other
