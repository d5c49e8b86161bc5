"""A client of the REST API for scripts and notebooks.

It needs httpx, pandas where it returns frames, and rich for the progress bar; neither Django nor
NEST nor this site's settings::

    from evolution.client import connect

    lab = connect("https://lab.example.org", token)
    experiment = lab.launch("error-driven", seed=7, evolution_parameters={"n_generations": 50})
    experiment = lab.wait(experiment)
    frame = lab.history(experiment)
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx
    import pandas as pd

_FINAL = {"finished", "stopped", "failed", "published", "imported"}
_TOO_MANY = 429
#: A request that got no answer, or came too often, is sent again so many times.
N_ATTEMPTS = 4
_PAGE = 500


class ApiError(RuntimeError):
    """The site refused a request.

    Attributes
    ----------
    status : int
        HTTP status: 401 no valid token, 403 not allowed, 404 nothing there (or nothing that you may
        see), 409 not in this state, 422 values that do not fit, 429 too often.
    errors : list of dict
        What does not fit, one by one: ``detail`` with ``pointer`` or ``parameter``.
    """

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        self.status = status
        self.errors = errors
        lines = [detail]
        for item in errors:
            where = item.get("pointer") or item.get("parameter")
            lines.append(f"{where}: {item['detail']}" if where else item["detail"])
        super().__init__("\n".join(lines))


class _Answer:
    """A dataclass that is made of the members of an answer that it knows."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the object that a body describes; later versions may say more."""
        names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in body.items() if name in names})


@dataclass(frozen=True)
class Rule(_Answer):
    """A rule as it is simulated; ``complexity`` counts operators and leaves."""

    id: int
    expressions: list[str]
    complexity: int

    def __str__(self) -> str:
        return " ; ".join(self.expressions)


@dataclass(frozen=True)
class Run(_Answer):
    """A run; a fitness of None is minus infinity."""

    number: int
    seed: int
    state: str
    stop_reason: str
    generation: int
    champion_fitness: float | None
    champion: Rule | None
    improved_at_generation: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the run with its champion."""
        champion = body["champion"]
        return super().of({**body, "champion": Rule.of(champion) if champion else None})


@dataclass(frozen=True)
class Experiment(_Answer):
    """An experiment; lists leave out the runs."""

    id: int
    name: str
    owner: str | None
    learning_task: str
    preset: str
    state: str
    seed: int
    n_runs: int
    n_generations: int
    progress: float
    best_fitness: float | None
    task_parameters: dict[str, Any] | None = None
    evolution_parameters: dict[str, Any] | None = None
    remaining_s: float | None = None
    actions: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the experiment with its runs."""
        runs = tuple(Run.of(run) for run in body.get("runs", ()))
        return super().of({**body, "runs": runs, "actions": tuple(body.get("actions", ()))})

    @property
    def is_over(self) -> bool:
        """Whether nothing happens any more unless somebody asks for it."""
        return self.state in _FINAL


@dataclass(frozen=True)
class Simulation(_Answer):
    """The behaviour of a rule in one trial.

    Attributes
    ----------
    value : float or None
        Of the trial.
    panels : list of dict
        Titles and summaries of its plots.
    """

    id: int
    rule: Rule
    learning_task: str
    preset: str
    state: str
    value: float | None
    panels: list[dict[str, str]]
    reason: str
    detail: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the simulation with its rule."""
        return super().of({**body, "rule": Rule.of(body["rule"])})

    @property
    def is_over(self) -> bool:
        """Whether there is a result, or will be none."""
        return self.state in _FINAL


@dataclass(frozen=True)
class Validation(_Answer):
    """Values of a rule in trials that no experiment has.

    Attributes
    ----------
    state : str
        open, finished, cancelled or failed.
    held_out : dict or None
        ``trials``, ``fitness`` (with ``value``, ``low`` and ``high``), ``gap`` to training, and
        ``baselines``: the rules of the literature in the same trials, with ``difference`` to the
        rule. None before the first trial.
    """

    id: int
    rule: Rule
    learning_task: str
    n_trials: int
    state: str
    detail: str
    progress: float
    held_out: dict[str, Any] | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the validation with its rule."""
        return super().of({**body, "rule": Rule.of(body["rule"])})

    @property
    def is_over(self) -> bool:
        """Whether no worker adds trials any more."""
        return self.state != "open"

    @property
    def fitness(self) -> float | None:
        """Fitness in held-out trials; None where the rule fails or nothing is known yet."""
        known = self.held_out and self.held_out["fitness"]
        return known["value"] if known else None


ExperimentLike: TypeAlias = Experiment | int


def connect(url: str, token: str, *, timeout_s: float = 30.0) -> Client:
    """Return a client of a site, after asking it who the token belongs to.

    Parameters
    ----------
    url : str
        Address of the site, such as ``http://127.0.0.1:8000``.
    token : str
        A personal token: made on the page of your account.

    Raises
    ------
    ApiError
        If the token is not valid (401).
    """
    httpx = _library("httpx")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    base_url = f"{url.rstrip('/')}/api/v1/"
    client = Client(httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s))
    client.request("GET", "")
    return client


class Client:
    """The operations of the API. Close it, or use it in a ``with`` statement."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- experiments ----------------------------------------------------------------------------

    def experiments(self, **filters: str) -> Iterator[Experiment]:
        """Yield experiments; filters are q, state, task, owner, show and sort."""
        return map(Experiment.of, self._pages("experiments/", filters))

    def experiment(self, experiment: ExperimentLike) -> Experiment:
        """Return an experiment as it is now."""
        return Experiment.of(self.request("GET", f"experiments/{_id(experiment)}/"))

    def launch(self, learning_task: str, *, preset: str | None = None, **setup: Any) -> Experiment:
        """Create an experiment and launch it.

        A broken connection does not launch it twice: the request has a key of its own.

        Parameters
        ----------
        setup
            ``name``, ``n_runs``, ``seed``, ``visibility``, ``task_parameters`` and
            ``evolution_parameters`` (changes of the preset, by name), ``launch=False`` to create
            it only.
        """
        body = {"learning_task": learning_task, **setup}
        if preset is not None:
            body["preset"] = preset
        return Experiment.of(self._create("experiments/", body))

    def clone(self, experiment: ExperimentLike, **changes: Any) -> Experiment:
        """Create an experiment like another one; see :meth:`launch` for the changes."""
        return Experiment.of(self._create(f"experiments/{_id(experiment)}/clone/", changes))

    def extend(
        self,
        experiment: ExperimentLike,
        *,
        n_generations: int | None = None,
        n_runs: int | None = None,
    ) -> Experiment:
        """Let an experiment have more generations or runs, in all."""
        numbers = {"n_generations": n_generations, "n_runs": n_runs}
        body = {name: number for name, number in numbers.items() if number is not None}
        return Experiment.of(
            self.request("POST", f"experiments/{_id(experiment)}/extend/", json=body)
        )

    def control(self, experiment: ExperimentLike, action: str) -> Experiment:
        """Do something to an experiment.

        Parameters
        ----------
        action : str
            start, pause, resume, stop, archive, unarchive or retry.
        """
        return Experiment.of(self.request("POST", f"experiments/{_id(experiment)}/{action}/"))

    def delete(self, experiment: ExperimentLike) -> None:
        """Delete an experiment that has ended, with its history."""
        self.request("DELETE", f"experiments/{_id(experiment)}/")

    def wait(
        self,
        experiment: ExperimentLike,
        *,
        progress: bool = True,
        poll_s: float = 1.0,
        timeout_s: float | None = None,
    ) -> Experiment:
        """Wait until an experiment is over, with a progress bar, and return it.

        Raises
        ------
        TimeoutError
            If it is not over in time.
        """

        def describe(now: Experiment) -> tuple[str, float]:
            best = "-" if now.best_fitness is None else f"{now.best_fitness:.6g}"
            return f"{now.name}, best {best}", now.progress

        return self._follow(
            lambda: self.experiment(experiment),
            describe,
            progress=progress,
            poll_s=poll_s,
            timeout_s=timeout_s,
        )

    def history(self, experiment: ExperimentLike, *, improvements: bool = False) -> pd.DataFrame:
        """Return every generation of every run, or only those with a fitter champion.

        Returns
        -------
        DataFrame
            With columns run, seed, generation, fitness (minus infinity where there is none), rule,
            rule_id, complexity, is_improvement, n_evaluations, n_cached and n_pruned.
        """
        filters = {"improvements": "true"} if improvements else {}
        number = _id(experiment)
        rows = []
        for run in self._pages(f"experiments/{number}/runs/", {}):
            path = f"experiments/{number}/runs/{run['number']}/generations/"
            for item in self._pages(path, filters):
                rule = item["rule"] or {"id": None, "expressions": [], "complexity": None}
                rows.append(
                    {
                        "run": run["number"],
                        "seed": run["seed"],
                        "generation": item["generation"],
                        "fitness": _number(item["champion_fitness"]),
                        "rule": " ; ".join(rule["expressions"]),
                        "rule_id": rule["id"],
                        "complexity": rule["complexity"],
                        **{
                            name: item[name]
                            for name in ("is_improvement", "n_evaluations", "n_cached", "n_pruned")
                        },
                    }
                )
        columns = [
            "run", "seed", "generation", "fitness", "rule", "rule_id", "complexity",
            "is_improvement", "n_evaluations", "n_cached", "n_pruned",
        ]  # fmt: skip
        return _library("pandas").DataFrame(rows, columns=columns)

    def champions(self, experiment: ExperimentLike) -> pd.DataFrame:
        """Return the champion of each run, the fittest first."""
        rows = [
            {
                "run": run.number,
                "seed": run.seed,
                "fitness": _number(run.champion_fitness),
                "rule": str(run.champion or ""),
                "rule_id": run.champion.id if run.champion else None,
                "complexity": run.champion.complexity if run.champion else None,
                "found_in_generation": run.improved_at_generation,
            }
            for run in self.experiment(experiment).runs
        ]
        frame = _library("pandas").DataFrame(rows)
        return frame.sort_values(["fitness", "run"], ascending=[False, True], ignore_index=True)

    def individuals(
        self, experiment: ExperimentLike, run: int, **filters: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the individuals of a run; filters are those of the page of the API."""
        return self._pages(f"experiments/{_id(experiment)}/runs/{run}/individuals/", filters)

    # --- rules ----------------------------------------------------------------------------------

    def rules(self, learning_task: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield classes of equivalent rules; q searches for a rule in any equivalent form."""
        return self._pages("rules/", {"task": learning_task, **filters})

    def exports(self, rule: Rule | int) -> dict[str, str]:
        """Return a rule as texts by name, such as latex, numpy or nestml."""
        exports = self.request("GET", f"rules/{_id(rule)}/exports/")
        return {item["name"]: item["text"] for item in exports}

    def keep(self, learning_task: str, *expressions: str, **note: str) -> Rule:
        """Put a rule into the catalogue, if you like with ``name`` and ``text``, and return it."""
        body = {"learning_task": learning_task, "expressions": list(expressions), **note}
        return Rule.of(self._create("rules/", body))

    def validate(
        self,
        rule: Rule | int,
        learning_task: str,
        *,
        preset: str = "demo",
        n_trials: int | None = None,
        wait: bool = True,
        progress: bool = True,
        poll_s: float = 0.5,
        timeout_s: float | None = None,
    ) -> Validation:
        """Simulate a rule in held-out trials, beside the rules of the literature.

        Trials that are known already are not simulated again.

        Parameters
        ----------
        n_trials : int, optional
            As many as the preset has, unless given.
        wait : bool
            False to return at once; :meth:`validation` follows it.

        Raises
        ------
        TimeoutError
            If it is not over in time.
        """
        body: dict[str, Any] = {"learning_task": learning_task, "preset": preset}
        if n_trials is not None:
            body["n_trials"] = n_trials
        asked = Validation.of(self._create(f"rules/{_id(rule)}/validations/", body))
        if asked.is_over or not wait:
            return asked
        return self._follow(
            lambda: self.validation(asked.id),
            lambda now: (f"held-out trials of {now.rule}", now.progress),
            progress=progress,
            poll_s=poll_s,
            timeout_s=timeout_s,
        )

    def validation(self, number: int) -> Validation:
        """Return a validation as it is now."""
        return Validation.of(self.request("GET", f"validations/{number}/"))

    def simulate(
        self,
        learning_task: str,
        *expressions: str,
        preset: str = "demo",
        wait: bool = True,
        progress: bool = True,
        poll_s: float = 0.5,
        timeout_s: float | None = None,
    ) -> Simulation:
        """Simulate any rule in the first trial of a preset, and return the result.

        Parameters
        ----------
        expressions : str
            One for each branch, such as ``"(v - u)*s"``.
        wait : bool
            False to return at once; :meth:`simulation` follows it.
        """
        body = {
            "learning_task": learning_task,
            "preset": preset,
            "expressions": list(expressions),
        }
        asked = Simulation.of(self._create("simulations/", body))
        if asked.is_over or not wait:
            return asked
        return self._follow(
            lambda: self.simulation(asked.id),
            lambda now: (f"{now.rule}, {now.state}", float(now.is_over)),
            progress=progress,
            poll_s=poll_s,
            timeout_s=timeout_s,
        )

    def simulation(self, number: int) -> Simulation:
        """Return a simulation as it is now."""
        return Simulation.of(self.request("GET", f"simulations/{number}/"))

    def learning_tasks(self) -> list[dict[str, Any]]:
        """Return the learning tasks with their presets and parameters."""
        return self.request("GET", "learning-tasks/")

    # --- requests -------------------------------------------------------------------------------

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, again where it came too often, and return the body of the answer.

        What may be sent twice (reading, and requests with a key) is sent again also where the
        connection broke.

        Raises
        ------
        ApiError
            If the site refuses it.
        """
        httpx = _library("httpx")
        may_repeat = method == "GET" or "Idempotency-Key" in options.get("headers", {})
        for attempt in range(N_ATTEMPTS):
            is_last = attempt + 1 == N_ATTEMPTS
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError:
                if is_last or not may_repeat:
                    raise
                time.sleep(0.5 * 2**attempt)
                continue
            if response.status_code == _TOO_MANY and not is_last:
                time.sleep(float(response.headers.get("Retry-After", 1)))
                continue
            break
        if response.is_success:
            return response.json() if response.content else None
        try:
            body = response.json()
        except ValueError:
            body = {}
        detail = body.get("detail") or f"The site answered {response.status_code}."
        raise ApiError(response.status_code, detail, body.get("errors", []))

    def _create(self, path: str, body: Mapping[str, Any]) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self.request("POST", path, json=dict(body), headers=key)

    def _pages(self, path: str, filters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            window = {"limit": _PAGE, "offset": offset}
            page = self.request("GET", path, params={**filters, **window})
            yield from page["results"]
            offset += len(page["results"])
            if page["next"] is None:
                return

    def _follow(
        self,
        ask: Callable[[], Any],
        describe: Callable[[Any], tuple[str, float]],
        *,
        progress: bool,
        poll_s: float,
        timeout_s: float | None,
    ) -> Any:
        """Ask again and again until something is over."""
        from rich.progress import Progress

        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with Progress(disable=not progress, transient=True) as shown:
            bar = shown.add_task("", total=1.0)
            while True:
                now = ask()
                text, share = describe(now)
                shown.update(bar, description=text, completed=share)
                if now.is_over:
                    return now
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{text} is not over after {timeout_s:g} s.")
                time.sleep(poll_s)


def _id(what: ExperimentLike | Rule) -> int:
    return what if isinstance(what, int) else what.id


def _number(fitness: float | None) -> float:
    return float("-inf") if fitness is None else fitness


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"This needs the package {name}: pip install {name}") from None
