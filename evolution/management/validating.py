"""What the commands that simulate with held-out seeds share."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from rich.progress import Progress

from evolution.errors import ValidationRefused
from evolution.management.base import bad_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from evolution.estimates import Estimate
    from evolution.models import Rule, Validation
    from nest_build.rules import PlasticityRule

_POLL_S = 0.25
_SLICE_S = 0.5


@contextmanager
def refusals() -> Iterator[None]:
    """Say what cannot be validated, and that the database cannot be used."""
    try:
        yield
    except ValidationRefused as error:
        raise bad_input(str(error)) from None
    except DatabaseError as error:
        raise CommandError(
            f"The database cannot be used ({error}). Is it set up (manage.py migrate)?"
        ) from error


def simulate(validation: Validation, console: Console) -> None:
    """Simulate what a validation lacks in this process; Ctrl-C cancels it, and values stay."""
    from evolution.enums import ValidationState
    from evolution.models import Validation
    from evolution.services import validations, work, workers
    from evolution.services.couriers import SilentCourier
    from evolution.services.simulator import MachineFault, load_simulator

    if validation.state == ValidationState.OPEN:
        try:
            load_simulator()
        except MachineFault as error:
            validations.cancel(validation)
            raise CommandError(str(error)) from error
    worker = workers.claim_name()
    progress = Progress(console=console, transient=True)
    with progress if console.is_terminal else nullcontext():
        bar = progress.add_task("Simulating", total=None)
        while validation.state == ValidationState.OPEN:
            try:
                has_worked = work.work(
                    worker=worker,
                    courier=SilentCourier(),
                    n_workers=1,
                    validation_id=validation.pk,
                    slice_s=_SLICE_S,
                )
                if not has_worked:
                    # What is missing is in the hands of other processes on this database.
                    time.sleep(_POLL_S)
            except KeyboardInterrupt:
                validations.cancel(validation)
                raise
            validation = Validation.objects.with_progress().get(pk=validation.pk)
            if validation.n_wanted:
                progress.update(bar, completed=validation.n_done, total=validation.n_wanted)
    if validation.state != ValidationState.FINISHED:
        raise CommandError(validation.detail or "The validation was cancelled.")


def rule_record(rule: Rule | PlasticityRule) -> dict[str, Any]:
    """Return a rule as ``--json`` prints it."""
    texts = rule.expressions if hasattr(rule, "expressions") else rule.texts
    return {
        "canonical": list(texts),
        "latex": list(rule.latex),
        "complexity": rule.complexity,
    }


def estimate_record(estimate: Estimate | None) -> dict[str, Any]:
    """Return mean, standard deviation, fitness and its interval; None where there is none."""
    if estimate is None:
        return dict.fromkeys(("mean", "sd", "fitness", "interval"))
    return {
        "mean": estimate.mean,
        "sd": estimate.sd,
        "fitness": estimate.value,
        "interval": None if estimate.low is None else [estimate.low, estimate.high],
    }
