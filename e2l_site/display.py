"""What the launcher shows: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner


class Display:
    """One line per step that has been done, and a moving one for what goes on.

    It draws when it is told to, and has no thread of its own: the launcher forks, which is safe
    with a single thread only. A terminal that has been closed takes nothing any more; that is no
    reason to leave undone what is only told about.

    Parameters
    ----------
    console : Console, optional
        By default the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._shown = ""

    def waiting(self, label: str, seconds: float) -> None:
        """Show that ``label`` goes on, since so many ``seconds``."""
        if not self._console.is_terminal:
            if label != self._shown:
                self._print(f"{label} ...")
            self._shown = label
            return
        with contextlib.suppress(OSError):
            if self._live is None:
                self._live = Live(
                    self._spinner, console=self._console, auto_refresh=False, transient=True
                )
                self._live.start()
            self._spinner.update(text=f"{label} ... {seconds:.0f} s")
            self._live.refresh()

    def done(self, label: str, seconds: float) -> None:
        """Show that ``label`` took so many ``seconds``."""
        self._shown = ""
        self.say(f"{label}: {seconds:.1f} s")

    def say(self, text: str) -> None:
        """Show one line."""
        live, self._live = self._live, None
        if live is not None:
            with contextlib.suppress(OSError):
                live.stop()
        self._print(text)

    def _print(self, text: str) -> None:
        # Not wrapped: an address that is broken in two cannot be copied.
        with contextlib.suppress(OSError):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
