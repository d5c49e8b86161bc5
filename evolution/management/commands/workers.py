"""The workers that are there: list them, drain hosts, let them work again, restart them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from evolution import operation
from evolution.errors import StateConflict
from evolution.management.base import bad_input
from evolution.models import Worker
from evolution.services import orders

if TYPE_CHECKING:
    from argparse import ArgumentParser

_ORDERS = {
    "drain": (orders.drain, "takes no more work"),
    "resume": (orders.resume, "takes work again"),
    "restart": (orders.restart, "starts its workers anew"),
}
_LOOK_S = 0.5


class Command(BaseCommand):
    """List workers by host, and tell hosts what to do."""

    help = "List the workers, or have those of a host drained, resumed or restarted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="Who is there, and what they do.")
        listing.add_argument("--json", action="store_true", help="Print one JSON object.")
        actions.add_parser(
            "alive", help="Exit code 0 if a worker of this host was heard of lately, else 1."
        )
        helps = {
            "drain": "Let workers finish their slice and take no more, until they are resumed.",
            "resume": "Let drained workers work again.",
            "restart": "Let workers finish their trial and load their code anew.",
        }
        for name, text in helps.items():
            order = actions.add_parser(name, help=text)
            order.add_argument("host", metavar="HOST", help="A host of the list, or: all.")
            if name == "drain":
                order.add_argument(
                    "--wait",
                    type=float,
                    default=0.0,
                    metavar="SECONDS",
                    help="Wait until nobody works there; exit code 1 if somebody still does.",
                )

    def handle(self, **options: Any) -> None:
        if options["action"] == "list":
            self._list(as_json=options["json"])
            return
        if options["action"] == "alive":
            host = orders.own_host()
            if not Worker.objects.alive().filter(host=host).exists():
                raise CommandError(f"No worker of {host} was heard of lately.")
            return
        give, effect = _ORDERS[options["action"]]
        is_all = options["host"] == "all"
        hosts = _all_that_fit(options["action"]) if is_all else [options["host"]]
        if is_all and not hosts:
            self.stdout.write("There is no such host: nothing was changed.")
        for host in hosts:
            try:
                give(host)
            except StateConflict as error:
                if is_all:  # somebody else was faster
                    continue
                raise bad_input(str(error)) from None
            self.stdout.write(f"{host} {effect}.")
        if options.get("wait"):
            self._wait(hosts, options["wait"])

    def _wait(self, hosts: list[str], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while busy := [h for h in operation.hosts() if h.name in hosts and h.n_busy]:
            if time.monotonic() > deadline:
                names = ", ".join(f"{host.n_busy} on {host.name}" for host in busy)
                raise CommandError(f"Workers are still busy: {names}.")
            time.sleep(_LOOK_S)
        self.stdout.write("Nobody works there any more.")

    def _list(self, *, as_json: bool) -> None:
        hosts = operation.hosts()
        if as_json:
            rows = [
                {
                    "host": host.name,
                    "state": host.state,
                    "is_drained": host.is_drained,
                    "workers": [
                        {
                            "pid": worker.pid,
                            "state": operation.state_of(worker),
                            "experiment": worker.experiment_id if worker.is_busy else None,
                            "engine_version": worker.engine_version,
                            "heard_at": worker.heard_at.isoformat(),
                        }
                        for worker in host.workers
                    ],
                }
                for host in hosts
            ]
            self.stdout.write(json.dumps({"hosts": rows}))
            return
        if not hosts:
            self.stdout.write("No worker is there: 'make up' or 'make worker' starts some.")
        for host in hosts:
            self.stdout.write(f"{host.name}: {host.state}")
            for worker in host.workers:
                is_known = worker.is_busy and worker.experiment_id is not None
                doing = f", experiment {worker.experiment_id}" if is_known else ""
                self.stdout.write(f"  process {worker.pid}: {operation.state_of(worker)}{doing}")


def _all_that_fit(action: str) -> list[str]:
    """Return the hosts that an order to all of them is meant for."""
    if action == "restart":
        return [host.name for host in operation.hosts() if host.n_alive]
    return [host.name for host in operation.hosts() if host.is_drained == (action == "resume")]
