"""The web server process: uvicorn, which says when it listens and lets nobody down when it ends.

``python -m e2l_site.web --fd N`` takes over a socket that listens already; the launcher owns it, so
that a successor can take it over before this process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
import sys
from typing import TYPE_CHECKING

from uvicorn import Config, Server

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Who connected just before the end has so long to say what they want, in s.
_LAST_WORDS_S = 0.5
#: What is being answered at the end may take so long, in s.
_GRACE_S = 20
#: Time between two pings of a WebSocket, in s.
_PING_S = 60.0
#: Time in which it has to be answered, in s: of a page whose question waits nothing else is read.
_PONG_S = 60.0
#: A thread that computes lets the event loop have its turn after so long, in s.
_SWITCH_S = 0.001
#: After so many new objects young ones are looked through for garbage. Python's 700 are fewer than
#: those of one page, which are then looked at several times before they are done with.
_GARBAGE = 20_000


class _Server(Server):
    def __init__(self, config: Config, ready_fd: int | None) -> None:
        super().__init__(config)
        self._ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell the launcher."""
        await super().startup(sockets)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b"!")
            os.close(self._ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave new connections to the successor first, then end those that are open.

        uvicorn does both at once, and closes a connection whose request is still on its way.
        """
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_WORDS_S)
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal asks to stop."""
    parser = argparse.ArgumentParser(prog="e2l_site.web", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of a listening socket")
    parser.add_argument("--ready-fd", type=int, help="descriptor that is written to when ready")
    options = parser.parse_args(arguments)
    config = Config(
        "e2l_site.asgi:application",
        lifespan="off",
        # News are many and small: to compress them took a third of the time that they cost.
        ws_per_message_deflate=False,
        # Pages speak every few seconds; pings are for those that are gone without a word.
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PONG_S,
        # The settings configure the log; requests are logged with their ids.
        log_config=None,
        access_log=False,
        # Addresses and scheme of the browser are believed to proxies only.
        proxy_headers=True,
        forwarded_allow_ips=os.environ.get("E2L_TRUSTED_PROXIES", "").strip() or "127.0.0.1",
        timeout_graceful_shutdown=_GRACE_S,
    )
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_GARBAGE)
    listener = socket.socket(fileno=options.fd)
    _Server(config, options.ready_fd).run(sockets=[listener])


if __name__ == "__main__":
    main()
