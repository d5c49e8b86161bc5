"""The laboratory: learning tasks, figures of the paper, workers, people, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evolution.client.answers import Figure, Person, Token, number_of
from evolution.client.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator


class Laboratory(Connection):
    """The operations on what is there besides experiments and rules."""

    def learning_tasks(self) -> list[dict[str, Any]]:
        """Return the learning tasks with their presets and parameters."""
        return self.request("GET", "learning-tasks/")

    def status(self) -> dict[str, Any]:
        """Return how many workers there are and what they do."""
        return self.request("GET", "status/")

    # --- figures of the paper -------------------------------------------------------------------

    def figures(self) -> list[dict[str, Any]]:
        """Return the figures that can be computed."""
        return self.request("GET", "figures/")

    def figure(self, name: str, **choice: Any) -> Figure:
        """Return a figure as it is now; a choice is of ``experiment``, ``run`` and ``rule``."""
        return Figure.of(self.request("GET", f"figures/{name}/", params=choice))

    def simulate_figure(
        self,
        name: str,
        *,
        wait: bool = True,
        progress: bool = True,
        poll_s: float = 1.0,
        timeout_s: float | None = None,
        **choice: Any,
    ) -> Figure:
        """Ask workers for the simulations that a figure lacks, and return it with them."""
        asked = Figure.of(self._create(f"figures/{name}/simulations/", choice))
        if asked.is_over or not wait:
            return asked
        return self._follow(
            lambda: self.figure(name, **choice),
            lambda now: (now.title, now.progress),
            progress=progress,
            poll_s=poll_s,
            timeout_s=timeout_s,
        )

    def figure_panel(self, name: str, key: str, **choice: Any) -> dict[str, Any]:
        """Return the data of one panel: labels, series, and a summary in words."""
        return self.request("GET", f"figures/{name}/panels/{key}/", params=choice)

    # --- for operators --------------------------------------------------------------------------

    def operation(self) -> dict[str, Any]:
        """Return workers, queues, what is stuck and versions."""
        return self.request("GET", "operation/")

    def order(self, host: str, action: str) -> dict[str, Any]:
        """Give an order to the workers of a host.

        Parameters
        ----------
        action : str
            drain, resume or restart.
        """
        return self.request("POST", f"operation/{action}/", json={"host": host})

    def people(self) -> Iterator[Person]:
        """Yield everybody with an account."""
        return map(Person.of, self._pages("people/", {}))

    def create_account(self, name: str, role: str = "member") -> Person:
        """Create an account; its holder gets a link to set a password on the page *People*."""
        return Person.of(self._create("people/", {"name": name, "role": role}))

    def change_account(self, person: Person | int, **changes: Any) -> Person:
        """Change ``role`` or ``is_active`` of an account."""
        return Person.of(self.request("PATCH", f"people/{number_of(person)}/", json=changes))

    def activity(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield what people did, the latest first; filters are q, who, action, since and until."""
        return self._pages("activity/", filters)

    # --- one's own tokens -----------------------------------------------------------------------

    def tokens(self) -> Iterator[Token]:
        """Yield your personal tokens, the latest first."""
        return map(Token.of, self._pages("tokens/", {}))

    def revoke_token(self, token: Token | int) -> None:
        """Revoke one of your personal tokens."""
        self.request("DELETE", f"tokens/{number_of(token)}/")
