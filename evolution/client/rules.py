"""Rules: searched, kept, simulated and validated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolution.client.answers import (
    Rule,
    RuleLike,
    Simulation,
    SimulationLike,
    Validation,
    ValidationLike,
    number_of,
)
from evolution.client.following import Following

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORDINGS = {".nwb": "application/x-hdf5", ".zip": "application/zip"}


class Rules(Following):
    """The operations on rules, simulations and validations."""

    def rules(self, learning_task: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield classes of equivalent rules; q searches for a rule in any equivalent form."""
        return self._pages("rules/", {"task": learning_task, **filters})

    def exports(self, rule: RuleLike) -> dict[str, str]:
        """Return a rule as texts by name, such as latex, numpy or nestml."""
        exports = self.request("GET", f"rules/{number_of(rule)}/exports/")
        return {item["name"]: item["text"] for item in exports}

    def keep(self, learning_task: str, *expressions: str, **note: str) -> Rule:
        """Put a rule into the catalogue, if you like with ``name`` and ``text``, and return it."""
        body = {"learning_task": learning_task, "expressions": list(expressions), **note}
        return Rule.of(self._create("rules/", body))

    def validate(
        self,
        rule: RuleLike,
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
        body = {"learning_task": learning_task, "preset": preset, "n_trials": n_trials}
        path = f"rules/{number_of(rule)}/validations/"
        return self._validated(
            path, body, wait=wait, progress=progress, poll_s=poll_s, timeout_s=timeout_s
        )

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

    # --- more about rules -----------------------------------------------------------------------

    def rule(self, rule: RuleLike) -> dict[str, Any]:
        """Return a rule with its notes, and where it was found."""
        return self.request("GET", f"rules/{number_of(rule)}/")

    def check(self, learning_task: str, *expressions: str) -> dict[str, Any]:
        """Return what a rule is: canonical form, complexity, and whether it is known."""
        body = {"learning_task": learning_task, "expressions": list(expressions)}
        return self.request("POST", "rules/check/", json=body)

    def note(self, rule: RuleLike, name: str, text: str = "") -> None:
        """Give a rule a name and notes, in place of what you wrote before."""
        body = {"name": name, "text": text}
        self.request("PUT", f"rules/{number_of(rule)}/note/", json=body)

    def contexts(self, learning_task: str) -> Iterator[dict[str, Any]]:
        """Yield the contexts in which fitness values are comparable."""
        return self._pages("contexts/", {"task": learning_task})

    def front(self, learning_task: str, context: int) -> list[dict[str, Any]]:
        """Return the Pareto fronts of complexity and fitness in a context."""
        return self.request(
            "GET", "rules/front/", params={"task": learning_task, "context": context}
        )

    def shape(self, rule: RuleLike) -> list[dict[str, Any]]:
        """Return the data of the plots of a rule itself."""
        return self.request("GET", f"rules/{number_of(rule)}/shape/")

    def simulations(self, rule: RuleLike | None = None) -> Iterator[Simulation]:
        """Yield your simulations, or those of a rule, the latest first."""
        path = "simulations/" if rule is None else f"rules/{number_of(rule)}/simulations/"
        return map(Simulation.of, self._pages(path, {}))

    def panel(self, simulation: SimulationLike, index: int) -> dict[str, Any]:
        """Return the data of one plot of a simulation; index counts from 0."""
        return self.request("GET", f"simulations/{number_of(simulation)}/panels/{index}/")

    def recording(self, simulation: SimulationLike, to: Path | str) -> Path:
        """Write all that a simulation has recorded into a file that ends with .nwb or .zip (CSV).

        Raises
        ------
        ValueError
            If the name ends otherwise.
        """
        kind = Path(to).suffix
        if kind not in _RECORDINGS:
            raise ValueError(f"Recordings can be had as {' or '.join(_RECORDINGS)}, not {kind!r}.")
        path = f"simulations/{number_of(simulation)}/recording{kind}"
        return self.download(path, to, media_type=_RECORDINGS[kind])

    # --- more about validations -----------------------------------------------------------------

    def validations(self, **filters: Any) -> Iterator[Validation]:
        """Yield validations, the latest first; filters are experiment, rule, kind and state."""
        return map(Validation.of, self._pages("validations/", filters))

    def cancel(self, validation: ValidationLike) -> Validation:
        """Let workers leave what is missing of a validation; what is known is kept."""
        return Validation.of(self.request("POST", f"validations/{number_of(validation)}/cancel/"))

    def held_out(self, rule: RuleLike) -> list[dict[str, Any]]:
        """Return all that is known of a rule in held-out trials."""
        return self.request("GET", f"rules/{number_of(rule)}/held-out/")

    def validate_front(
        self, learning_task: str, context: int, *, n_trials: int | None = None, **following: Any
    ) -> Validation:
        """Simulate the rules on the Pareto front of a context in held-out trials."""
        body = {"learning_task": learning_task, "context": context, "n_trials": n_trials}
        return self._validated("rules/front/validations/", body, **following)

    def test_robustness(
        self,
        rule: RuleLike,
        learning_task: str,
        *,
        preset: str = "demo",
        n_trials: int | None = None,
        **following: Any,
    ) -> Validation:
        """Simulate a rule where one parameter at a time has another value; read `robustness`."""
        body = {"learning_task": learning_task, "preset": preset, "n_trials": n_trials}
        return self._validated(f"rules/{number_of(rule)}/robustness/", body, **following)

    def robustness(self, rule: RuleLike) -> dict[str, Any]:
        """Return how the fitness of a rule changes with each parameter of its learning task."""
        return self.request("GET", f"rules/{number_of(rule)}/robustness/")
