"""What the launcher shows on a terminal and elsewhere."""

from __future__ import annotations

import contextlib
import io
import os

from rich.console import Console

from e2l_site.display import Display

ADDRESS = f"http://127.0.0.1:8000/welcome/{'x' * 120}/"


def shown_on(*, terminal: bool) -> str:
    output = io.StringIO()
    display = Display(Console(file=output, force_terminal=terminal, width=60))
    for seconds in (0.0, 0.4, 1.2):
        display.waiting("Web server", seconds)
    display.say("Something happened.")
    display.waiting("Web server", 1.6)
    display.done("Web server", 2.0)
    display.say(f"e2l runs at {ADDRESS}")
    return output.getvalue()


def test_plain_output_is_one_line_for_each_step() -> None:
    assert shown_on(terminal=False).splitlines() == [
        "Web server ...",
        "Something happened.",
        "Web server: 2.0 s",
        f"e2l runs at {ADDRESS}",
    ]


def test_terminal_shows_the_seconds_pass_and_keeps_the_address_in_one_piece() -> None:
    text = shown_on(terminal=True)
    assert "Web server ... 0 s" in text
    assert "Web server ... 1 s" in text
    assert "Web server: 2.0 s\n" in text
    assert ADDRESS in text


def test_closed_terminal_stops_nobody() -> None:
    terminal, other_end = os.openpty()
    file = os.fdopen(other_end, "w", encoding="utf-8")
    display = Display(Console(file=file, force_terminal=True, width=60))
    display.waiting("Stopping", 0.0)
    os.close(terminal)
    display.waiting("Stopping", 0.1)
    display.done("Stopped", 0.2)
    display.waiting("Stopping", 0.3)
    display.say("Something happened.")
    with contextlib.suppress(OSError):  # what nobody has read
        file.close()
