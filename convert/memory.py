"""What conversions of one model on the same rows have in common, found once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

Found = TypeVar("Found")


class Memory:
    """Remembers what does not depend on the options that a search varies.

    Valid for conversions of one model on the same rows, with the same preprocessing, cuts and seed:
    whoever hands it on sees to that.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """Return what was found under a key, or find it now."""
        if key not in self._found:
            self._found[key] = find()
        return cast(Found, self._found[key])
