"""Experiments: launched, controlled, followed, read, shared and moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolution.client.answers import (
    Experiment,
    ExperimentLike,
    Link,
    Validation,
    fitness_of,
    number_of,
)
from evolution.client.connection import library
from evolution.client.following import Following

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

_ZIP = "application/zip"


class Experiments(Following):
    """The operations on experiments."""

    def experiments(self, **filters: str) -> Iterator[Experiment]:
        """Yield experiments; filters are q, state, task, owner, show and sort."""
        return map(Experiment.of, self._pages("experiments/", filters))

    def experiment(self, experiment: ExperimentLike) -> Experiment:
        """Return an experiment as it is now."""
        return Experiment.of(self.request("GET", f"experiments/{number_of(experiment)}/"))

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
        return Experiment.of(self._create(f"experiments/{number_of(experiment)}/clone/", changes))

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
            self.request("POST", f"experiments/{number_of(experiment)}/extend/", json=body)
        )

    def control(self, experiment: ExperimentLike, action: str) -> Experiment:
        """Do something to an experiment.

        Parameters
        ----------
        action : str
            start, pause, resume, stop, archive, unarchive or retry.
        """
        return Experiment.of(self.request("POST", f"experiments/{number_of(experiment)}/{action}/"))

    def delete(self, experiment: ExperimentLike) -> None:
        """Delete an experiment that has ended, with its history."""
        self.request("DELETE", f"experiments/{number_of(experiment)}/")

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
        number = number_of(experiment)
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
                        "fitness": fitness_of(item["champion_fitness"]),
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
        return library("pandas").DataFrame(rows, columns=columns)

    def champions(self, experiment: ExperimentLike) -> pd.DataFrame:
        """Return the champion of each run, the fittest first."""
        rows = [
            {
                "run": run.number,
                "seed": run.seed,
                "fitness": fitness_of(run.champion_fitness),
                "rule": str(run.champion or ""),
                "rule_id": run.champion.id if run.champion else None,
                "complexity": run.champion.complexity if run.champion else None,
                "found_in_generation": run.improved_at_generation,
            }
            for run in self.experiment(experiment).runs
        ]
        frame = library("pandas").DataFrame(rows)
        return frame.sort_values(["fitness", "run"], ascending=[False, True], ignore_index=True)

    def individuals(
        self, experiment: ExperimentLike, run: int, **filters: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the individuals of a run; filters are those of the page of the API."""
        return self._pages(f"experiments/{number_of(experiment)}/runs/{run}/individuals/", filters)

    def change(self, experiment: ExperimentLike, **changes: Any) -> Experiment:
        """Change ``tags``, ``notes`` or ``visibility`` (laboratory or private) of an experiment."""
        return Experiment.of(
            self.request("PATCH", f"experiments/{number_of(experiment)}/", json=changes)
        )

    def control_several(self, experiments: Iterable[ExperimentLike], action: str) -> dict[int, str]:
        """Do the same to several experiments.

        Parameters
        ----------
        action : str
            pause, resume, stop, archive, unarchive or delete.

        Returns
        -------
        dict of int to str
            By the number of each that refused, why.
        """
        body = {"action": action, "experiments": [number_of(item) for item in experiments]}
        outcomes = self.request("POST", "experiments/bulk/", json=body)
        return {item["experiment"]: item["detail"] for item in outcomes if not item["is_done"]}

    def estimate(self, learning_task: str, **setup: Any) -> float:
        """Return how long an experiment would take, in s; see :meth:`launch`."""
        body = {"learning_task": learning_task, **setup}
        return self.request("POST", "experiments/estimate/", json=body)["seconds"]

    def figures_of(self, experiment: ExperimentLike) -> dict[str, Any]:
        """Return what an experiment has cost, who works on it, and how many runs succeeded."""
        return self.request("GET", f"experiments/{number_of(experiment)}/figures/")

    def compare(self, *experiments: ExperimentLike, **measures: Any) -> dict[str, Any]:
        """Return experiments beside each other; measures are ``clock`` and ``target``."""
        numbers = [number_of(item) for item in experiments]
        return self.request("GET", "comparison/", params={"experiment": numbers, **measures})

    # --- shared with people without an account --------------------------------------------------

    def links(self, experiment: ExperimentLike) -> Iterator[Link]:
        """Yield the links to an experiment."""
        return map(Link.of, self._pages(f"experiments/{number_of(experiment)}/links/", {}))

    def create_link(
        self, experiment: ExperimentLike, label: str = "", *, days: int | None = 30
    ) -> Link:
        """Make a link with which anybody may read an experiment; None for days: without an end.

        Its ``address`` is answered this once.
        """
        body = {"label": label, "days": days}
        path = f"experiments/{number_of(experiment)}/links/"
        return Link.of(self.request("POST", path, json=body))

    def revoke_link(self, experiment: ExperimentLike, link: Link | int) -> None:
        """Shut out who reads with a link."""
        path = f"experiments/{number_of(experiment)}/links/{number_of(link)}/"
        self.request("DELETE", path)

    # --- files ----------------------------------------------------------------------------------

    def export(self, experiment: ExperimentLike, to: Path | str) -> Path:
        """Write an experiment with its whole history into a file."""
        path = f"experiments/{number_of(experiment)}/export/"
        return self.download(path, to, media_type=_ZIP)

    def bring_in(self, file: Path | str) -> Experiment:
        """Import the experiment of a file; the same content twice is one experiment."""
        content = Path(file).read_bytes()
        headers = {"Content-Type": _ZIP}
        path = "experiments/import/"
        return Experiment.of(self.request("POST", path, content=content, headers=headers))

    def reproduce(self, experiment: ExperimentLike) -> Experiment:
        """Launch an experiment that is over once more; :meth:`difference` compares them."""
        return Experiment.of(self._create(f"experiments/{number_of(experiment)}/reproduce/", {}))

    def difference(self, reproduction: ExperimentLike) -> dict[str, Any]:
        """Return how a reproduction differs from its original, as far as both are."""
        return self.request("GET", f"experiments/{number_of(reproduction)}/difference/")

    # --- held-out trials ------------------------------------------------------------------------

    def validate_experiment(
        self,
        experiment: ExperimentLike,
        *,
        which: str = "champions",
        run: int | None = None,
        n_trials: int | None = None,
        **following: Any,
    ) -> Validation:
        """Simulate what an experiment has found in held-out trials; see :meth:`held_out_champions`.

        Parameters
        ----------
        which : str
            champions or front.
        run : int, optional
            Only the champion of this run.
        following
            ``wait``, ``progress``, ``poll_s`` and ``timeout_s``, as for :meth:`validate`.
        """
        path = f"experiments/{number_of(experiment)}/validations/"
        body = {"which": which, "run": run, "n_trials": n_trials}
        return self._validated(path, body, **following)

    def held_out_champions(self, experiment: ExperimentLike) -> pd.DataFrame:
        """Return the champions with their values in held-out trials, the fittest first.

        Returns
        -------
        DataFrame
            With columns rule, rule_id, runs, fitness (in training), held_out, low, high (of the
            95 % confidence interval) and n_trials; NaN where nothing is known.
        """
        rows = []
        for item in self.request("GET", f"experiments/{number_of(experiment)}/champions/"):
            known = (item["held_out"] or {}).get("fitness") or {}
            rows.append(
                {
                    "rule": " ; ".join(item["rule"]["expressions"]),
                    "rule_id": item["rule"]["id"],
                    "runs": tuple(item["runs"]),
                    "fitness": fitness_of(item["fitness"]),
                    "held_out": known.get("value"),
                    **{name: known.get(name) for name in ("low", "high", "n_trials")},
                }
            )
        columns = ["rule", "rule_id", "runs", "fitness", "held_out", "low", "high", "n_trials"]
        return library("pandas").DataFrame(rows, columns=columns)
