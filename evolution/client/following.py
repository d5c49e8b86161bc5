"""What workers do for somebody, followed until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolution.client.answers import Validation
from evolution.client.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping


class Following(Connection):
    """Validations, whatever they are about."""

    def validation(self, number: int) -> Validation:
        """Return a validation as it is now."""
        return Validation.of(self.request("GET", f"validations/{number}/"))

    def _validated(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        wait: bool = True,
        progress: bool = True,
        poll_s: float = 0.5,
        timeout_s: float | None = None,
    ) -> Validation:
        """Ask for trials, and follow them unless they are known or nobody waits."""
        given = {name: value for name, value in body.items() if value is not None}
        asked = Validation.of(self._create(path, given))
        if asked.is_over or not wait:
            return asked
        return self._follow(
            lambda: self.validation(asked.id),
            lambda now: (f"held-out trials of {now.rule or now.subject}", now.progress),
            progress=progress,
            poll_s=poll_s,
            timeout_s=timeout_s,
        )
