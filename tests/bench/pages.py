"""Every page and every plot of an installation with a million individuals (100 runs of 2000
generations, made by `python -m tests.large_database`), as the time that the server takes for an
answer, without network and browser. Each address is asked for many times with other rules, runs,
individuals, orders and filters; named is the 95th percentile, the largest number of database
statements of one answer, and for plots the largest payload before compression."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import Row
from tests.bench.generation_overhead import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TITLE = "Pages with a million individuals"
IS_LONG = True
BOUND_MS = {"SQLite": 300.0, "PostgreSQL": 150.0}
COMPARISON_BOUND_MS = 1000.0
MAX_STATEMENTS = 12
MAX_PAYLOAD_KB = 300.0
N_REQUESTS = 40


def rows() -> Iterator[Row]:
    """Fill and measure both databases."""
    for name, urls in (("SQLite", [None]), ("PostgreSQL", postgresql())):
        for url in urls:
            with tempfile.TemporaryDirectory(prefix="e2l-bench-") as directory:
                environment = {**os.environ, "E2L_DATA_DIR": directory}
                environment.pop("DATABASE_URL", None)
                if url is not None:
                    environment["DATABASE_URL"] = url
                _python(environment, "tests.large_database")
                answer = _python(environment, "tests.bench.pages")
            yield from rows_of(name, json.loads(answer.splitlines()[-1]))


def _python(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
    ).stdout


def rows_of(database: str, figures: dict[str, dict[str, float]]) -> Iterator[Row]:
    """Return the rows of the report for one database."""
    for what, figure in figures.items():
        bound = COMPARISON_BOUND_MS if what.startswith("compare") else BOUND_MS[database]
        more = f"{figure['statements']:.0f} statements"
        if figure["payload_kB"]:
            more += f", {figure['payload_kB']:.0f} kB"
        yield Row(f"{database}, {what} ({more})", figure["p95_ms"], "ms", bound=bound)


# --- in a process of its own, with the settings of its environment --------------------------------


def _measure() -> dict[str, dict[str, float]]:
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    user, _ = get_user_model().objects.get_or_create(username="bench")
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As autovacuum leaves it some minutes after the last row.
            cursor.execute("VACUUM ANALYZE")
    figures = {}
    draw = random.Random(1)
    for what, address in addresses(draw).items():
        client.get(address())
        times, statements, payload = [], 0, 0
        for _ in range(N_REQUESTS):
            chosen = address()
            started = time.perf_counter()
            response = client.get(chosen)
            times.append(time.perf_counter() - started)
            assert response.status_code == 200, (chosen, response.status_code)
            if response.headers["Content-Type"] == "application/json":
                payload = max(payload, len(response.content))
        for _ in range(5):
            with CaptureQueriesContext(connection) as queries:
                client.get(address())
            statements = max(statements, len(queries))
        p95 = sorted(times)[int(0.95 * len(times))]
        figures[what] = {
            "p95_ms": 1e3 * p95,
            "statements": statements,
            "payload_kB": payload / 1e3,
        }
        note = "" if statements <= MAX_STATEMENTS and payload <= 1e3 * MAX_PAYLOAD_KB else " (!)"
        sys.stderr.write(f"  {what}: {figures[what]}{note}\n")
    return figures


def addresses(draw: random.Random) -> dict[str, Callable[[], str]]:
    """Return by the name of a page what draws one of its addresses."""
    from urllib.parse import urlencode

    from django.db.models import Count
    from django.urls import reverse

    from evolution.filters import IndividualFilter, RuleFilter
    from evolution.models import Experiment, Individual, Rule

    experiment = Experiment.objects.get(name="A million individuals")
    runs = list(experiment.runs.all())
    found_often = Individual.objects.values("rule").annotate(n=Count("pk")).order_by("-n")
    often = [row["rule"] for row in found_often[:20] if row["rule"]]
    rules = [run.champion.rule_id for run in runs] + often
    texts = list(Rule.objects.filter(pk__in=rules).values_list("expressions", flat=True))

    def of(name: str, *args: object, **query: object) -> str:
        return reverse(f"evolution:{name}", args=args) + (
            f"?{urlencode(query, doseq=True)}" if query else ""
        )

    def run() -> Any:
        return draw.choice(runs)

    def of_run(name: str, **query: object) -> str:
        return of(name, experiment.pk, run().number, **query)

    def individual() -> str:
        chosen = run()
        index = draw.randrange(5 * chosen.n_generations_done)
        return of("individual", experiment.pk, chosen.number, index)

    def individuals() -> str:
        return of_run(
            "individuals",
            sort=draw.choice([name for name, _ in IndividualFilter.SORTS]),
            **draw.choice([{}, {"outcome": "evaluated"}, {"generation_min": 500}, {"page": 7}]),
        )

    def rule_list(**query: object) -> str:
        return of("rules", task="error-driven", **query)

    (branch,) = experiment.learning_task.signature.branches
    sorts = [name for name, _ in RuleFilter.SORTS]
    all_runs = {"experiment": experiment.pk}
    each_run = {"run": [f"{experiment.pk}-{run.number}" for run in runs]}
    return {
        "list of experiments": lambda: of("experiments", sort=draw.choice(["", "name", "best"])),
        "form of a new experiment": lambda: of("new-experiment"),
        "experiment": lambda: of("experiment", experiment.pk),
        "experiment, figures": lambda: of("experiment-figures", experiment.pk),
        "experiment, improvements": lambda: of("experiment-records", experiment.pk),
        "experiment, plot of all runs": lambda: of("experiment-plot", experiment.pk),
        "experiment, plot of the band": lambda: of("experiment-band", experiment.pk),
        "run": lambda: of_run("run"),
        "population of a generation": lambda: of_run(
            "population", generation=draw.randrange(runs[0].n_generations_done)
        ),
        "individuals": individuals,
        "individual": individual,
        "rules": lambda: rule_list(sort=draw.choice(sorts)),
        "rules of any context": lambda: rule_list(sort=draw.choice(sorts), context=""),
        "rules, filtered": lambda: rule_list(
            sort=draw.choice(sorts), complexity_max=9, fitness_min=-40
        ),
        "rules, found by an equivalent form": lambda: rule_list(q=f"2*({draw.choice(texts)[0]})/2"),
        "rules, plot of the fronts": lambda: of(
            "rules-front", task="error-driven", context=experiment.context_id
        ),
        "rule": lambda: of("rule", draw.choice(rules)),
        "rule, plot": lambda: of("rule-shape", draw.choice(rules), 0),
        "rule lab": lambda: of("lab"),
        "rule lab, check": lambda: of(
            "lab-check", task="error-driven", **{f"expression-{branch}": draw.choice(texts)[0]}
        ),
        "compare 100 runs as a group": lambda: of("compare", **all_runs),
        "compare 100 runs as a group, plot of bands": lambda: of(
            "compare-figure", "fitness", **all_runs
        ),
        "compare 100 runs one by one": lambda: of("compare", **each_run),
        "compare 100 runs one by one, plot of curves": lambda: of(
            "compare-figure", "fitness", view="curves", **each_run
        ),
        "compare 100 runs one by one, final fitness": lambda: of(
            "compare-figure", "finals", **each_run
        ),
        "compare 100 runs one by one, times": lambda: of("compare-figure", "times", **each_run),
        "compare 100 runs one by one, fronts": lambda: of("compare-figure", "fronts", **each_run),
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    os.environ.setdefault("E2L_ALLOWED_HOSTS", "localhost")
    # Sets up the process as that of the web server is.
    import e2l_site.asgi  # noqa: F401

    json.dump(_measure(), sys.stdout)
