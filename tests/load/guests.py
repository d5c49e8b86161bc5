"""Accounts, sessions, tokens and experiments for a crowd: ``python -m tests.load.guests``.

Run with the settings of the site; options come as JSON on the standard input, and the plan of
:mod:`tests.load.crowd` goes to the standard output.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

#: How often each page is opened in the second tab, in parts.
WEIGHTS = {
    "experiment": 15,
    "list of experiments": 15,
    "run": 10,
    "population of a generation": 8,
    "individuals": 10,
    "individual": 10,
    "rules": 8,
    "rules, filtered": 4,
    "rule": 14,
    "compare 100 runs as a group": 3,
}
_N_DRAWN = 200
#: Of each ten accounts.
_ROLES = ("viewer",) * 7 + ("member",) * 3


def invite(n_viewers: int, n_programs: int) -> dict[str, Any]:
    """Make accounts of several people each, with sessions and tokens; return these."""
    from datetime import timedelta

    from django.conf import settings
    from django.test import Client

    from evolution.enums import Role, Scope
    from evolution.services import accounts, tokens

    n_accounts = max(1, -(-n_viewers // 10))
    people = [
        accounts.create_account(f"guest-{index}", Role(_ROLES[index % len(_ROLES)]), by=None)
        for index in range(n_accounts)
    ]
    sessions = []
    for index in range(n_viewers):
        client = Client()
        client.force_login(people[index % n_accounts], "e2l_site.backends.Accounts")
        sessions.append(client.cookies[settings.SESSION_COOKIE_NAME].value)
    secrets = [
        tokens.create_token(
            people[index % n_accounts],
            name=f"program {index}",
            scopes=[Scope.READ],
            lifetime=timedelta(days=2),
        )[1]
        for index in range(n_programs)
    ]
    return {"sessions": sessions, "tokens": secrets}


def addresses() -> dict[str, Any]:
    """Return what can be looked at in the database of :mod:`tests.large_database`."""
    from evolution.models import Experiment
    from tests.bench.pages import addresses as addresses_of

    draw = random.Random(1)
    pages = addresses_of(draw)
    large = Experiment.objects.get(name="A million individuals")
    numbers = [run.number for run in large.runs.all()]
    generations = min(run.n_generations_done for run in large.runs.all())
    rules = [run.champion.rule_id for run in large.runs.select_related("champion")]

    def of_run(text: str) -> list[str]:
        return [
            f"/api/v1/experiments/{large.pk}/runs/{draw.choice(numbers)}/"
            + text.format(draw.randrange(generations))
            for _ in range(_N_DRAWN)
        ]

    return {
        "weights": WEIGHTS,
        "addresses": {name: [pages[name]() for _ in range(_N_DRAWN)] for name in WEIGHTS},
        "api": {
            "list of experiments": ["/api/v1/experiments/"],
            "experiment": [f"/api/v1/experiments/{large.pk}/"],
            "runs": [f"/api/v1/experiments/{large.pk}/runs/"],
            "run": of_run(""),
            "generations": of_run("generations/?limit=100"),
            "population": of_run("generations/{}/"),
            "individual": of_run("individuals/{}/"),
            "rule": [f"/api/v1/rules/{draw.choice(rules)}/" for _ in range(_N_DRAWN)],
        },
    }


def main() -> None:
    """Read the options and print the plan."""
    import django

    options = json.load(sys.stdin)
    django.setup()
    plan = {**invite(options["n_viewers"], options["n_programs"]), **addresses()}
    json.dump(plan, sys.stdout)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    main()
