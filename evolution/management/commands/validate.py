"""Validate plasticity rules with seeds that no experiment uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from evolution.management.base import (
    LearningTaskCommand,
    bad_input,
    changed_parameters,
    check_seed,
    chosen_task,
    parsed_rule,
)
from evolution.management.validating import (
    estimate_record,
    refusals,
    rule_record,
    simulate,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from evolution.estimates import Difference
    from evolution.models import Experiment, Rule, Validation
    from evolution.validated import HeldOut, Validated
    from simulations.learning_tasks import LearningTask


class Command(LearningTaskCommand):
    """Simulate held-out trials of rules and of those of the literature; values are kept."""

    help = (
        "Validate a plasticity rule, the champions of an experiment or of a run, or the Pareto "
        "front of an experiment, in trials with held-out seeds, beside the rules of the "
        "literature. Write -- before rules that begin with a minus sign."
    )
    is_task_optional = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(preset="paper")
        parser.add_argument(
            "rule",
            nargs="*",
            metavar="RULE",
            help="Expression; two (depress, facilitate) where the task has two branches.",
        )
        parser.add_argument(
            "--trials", type=int, help="Number of trials (default: that of the parameters)."
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--experiment", type=int, metavar="PK", help="Validate its champions.")
        which.add_argument(
            "--run", metavar="PK-N", help="Validate the champion of run N of the experiment PK."
        )
        parser.add_argument(
            "--front", action="store_true", help="With --experiment: the rules of its Pareto front."
        )

    def handle(self, **options: Any) -> None:
        check_seed(options["seed"])
        if options["experiment"] is None and options["run"] is None:
            self._validate_one(options)
        else:
            self._validate_many(options)

    def _validate_one(self, options: dict[str, Any]) -> None:
        from evolution.services import validations
        from evolution.services.couriers import SilentCourier
        from evolution.services.notes import add_to_catalogue

        if options["task"] is None or not options["rule"]:
            raise bad_input("Name a learning task and a rule, or --experiment or --run.")
        if options["front"]:
            raise bad_input("--front needs --experiment.")
        learning_task, preset = chosen_task(options)
        (parameters,) = changed_parameters([preset.task_parameters], options["changes"])
        parsed = parsed_rule(learning_task, options["rule"])
        n_trials = parameters.n_trials if options["trials"] is None else options["trials"]
        with refusals():
            rule = add_to_catalogue(parsed)
            validation = validations.request_validation(
                [rule],
                learning_task,
                preset=preset,
                parameters=parameters,
                n_trials=n_trials,
                owner=None,
                seed=options["seed"],
                courier=SilentCourier(),
            )
            simulate(validation, self.console())
            found = _held_out(rule, validation, learning_task)
        result = {"task": learning_task.name, **_record(found, n_trials)}
        result["seed"] = validation.context.seed
        if options["json"]:
            self.print_json(result)
        else:
            self._print([result], learning_task)

    def _validate_many(self, options: dict[str, Any]) -> None:
        from evolution import validated
        from evolution.services import validations
        from evolution.services.couriers import SilentCourier

        if options["task"] is not None or options["changes"]:
            raise bad_input("Learning task and parameters are those of the experiment.")
        pk, number = _address(options)
        with refusals():
            experiment = _experiment(pk)
            learning_task = experiment.learning_task
            if options["front"]:
                rules = validated.front_of(experiment)
            else:
                rules = validated.champions_of(experiment, number)
            validation = validations.request_for_experiment(
                experiment,
                rules,
                subject=f"rules of the experiment “{experiment.name}”",
                n_trials=options["trials"],
                owner=None,
                seed=options["seed"],
                courier=SilentCourier(),
            )
            simulate(validation, self.console())
            found = [_held_out(rule, validation, learning_task) for rule in rules]
        records = [_record(item, validation.n_trials) for item in found]
        if options["json"]:
            self.print_json(
                {
                    "task": learning_task.name,
                    "experiment": experiment.pk,
                    "seed": validation.context.seed,
                    "rules": records,
                }
            )
        else:
            self._print(records, learning_task)

    def _print(self, records: Sequence[dict[str, Any]], learning_task: LearningTask) -> None:
        from evolution.estimates import METHODS

        write = self.stdout.write
        for record in records:
            write(f"rule       {' ; '.join(record['rule']['canonical'])}")
            for number, value in enumerate(record["trials"]):
                write(f"trial {number:<4} {value:.6g}")
            if record["reason"]:
                write(f"no fitness: {record['reason']}")
            write(f"held out   {_in_words(record)}")
            if record["gap"] is not None:
                write(f"gap        {record['gap']:.6g}  (fitness in training minus held out)")
            for item in record["baselines"]:
                write(f"beside     {_in_words(item)}  {item['name']}")
        write(f"intervals  95 %, {METHODS[learning_task.aggregate]}")


def _address(options: dict[str, Any]) -> tuple[int, int | None]:
    """Return the experiment and the number of the run that the options name."""
    if options["run"] is None:
        return options["experiment"], None
    if options["front"]:
        raise bad_input("--front needs --experiment.")
    match = re.fullmatch(r"(\d{1,18})-(\d{1,9})", options["run"])
    if match is None:
        raise bad_input(
            f"--run needs PK-N, such as 12-3 for run 3 of experiment 12, not {options['run']!r}."
        )
    return int(match[1]), int(match[2])


def _experiment(pk: int) -> Experiment:
    from evolution.models import Experiment

    try:
        return Experiment.objects.get(pk=pk)
    except (Experiment.DoesNotExist, OverflowError):
        raise bad_input(f"There is no experiment {pk}.") from None


def _held_out(rule: Rule, validation: Validation, learning_task: LearningTask) -> HeldOut:
    from evolution import catalogue, validated
    from evolution.models import Experiment

    everything = Experiment.objects.all()
    training = catalogue.evaluations_of(rule, everything)
    found = validated.of_rule(rule, [learning_task], training, everything)
    return next(item for item in found if item.own.context.pk == validation.context_id)


def _record(found: HeldOut, n_trials: int) -> dict[str, Any]:
    from evolution.estimates import difference, generalisation_gap

    own = found.own
    aggregate = own.learning_task.aggregate
    # Others may have asked for more trials than these.
    trials = own.evaluation.trials[:n_trials]
    has_failed = bool(own.evaluation.reason)
    gap = None if has_failed else generalisation_gap(own.training, trials, aggregate)
    baselines = []
    for name, other, known in found.baselines:
        values = other.evaluation.trials[:n_trials]
        better = known and difference(trials, values, aggregate)
        baselines.append(
            {
                "name": name,
                **_values(other, n_trials),
                "difference": better.value if better else None,
                "difference_interval": _interval(better),
                "p_value": better.p_value if better else None,
            }
        )
    return {
        "rule": rule_record(own.evaluation.rule),
        **_values(own, n_trials),
        "gap": gap.value if gap else None,
        "gap_interval": _interval(gap),
        "reason": own.evaluation.reason or None,
        "baselines": baselines,
    }


def _values(validated: Validated, n_trials: int) -> dict[str, Any]:
    from evolution.estimates import estimate

    trials = validated.evaluation.trials[:n_trials]
    known = None
    if not validated.evaluation.reason:
        known = estimate(trials, validated.learning_task.aggregate)
    return {"trials": trials, **estimate_record(known)}


def _interval(found: Difference | None) -> list[float] | None:
    return None if found is None or found.low is None else [found.low, found.high]


def _in_words(record: dict[str, Any]) -> str:
    if record["fitness"] is None:
        return "none"
    text = f"{record['fitness']:.6g}"
    if record["interval"]:
        low, high = record["interval"]
        text += f" [{low:.6g}, {high:.6g}]"
    if record["sd"] is not None:
        text += f"  mean {record['mean']:.6g}, sd {record['sd']:.4g}"
    return text
