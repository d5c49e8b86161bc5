"""Write a plasticity rule in a form for other programs or papers, without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from evolution.management.base import (
    add_rule_argument,
    add_task_argument,
    bad_input,
    named_task,
    parsed_rule,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Print a rule in one of its forms, or write it to a file."""

    help = (
        "Export a plasticity rule. Write -- before rules that begin with a minus sign, and options "
        "before it."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        from evolution.exports import FORMS

        add_task_argument(parser)
        add_rule_argument(parser)
        parser.add_argument(
            "--format",
            required=True,
            choices=FORMS,
            help="; ".join(f"{form.name}: {form.title}" for form in FORMS.values()) + ".",
        )
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="File to write (default: standard output)."
        )

    def handle(self, **options: Any) -> None:
        learning_task = named_task(options["task"])
        rule = parsed_rule(learning_task, options["rule"])

        from evolution.exports import FORMS, Inexpressible
        from evolution.models import Rule
        from evolution.models.rule import signature_text

        form = FORMS[options["format"]]
        record = Rule(
            signature=signature_text(learning_task.signature),
            fingerprint=rule.fingerprint,
            expressions=list(rule.texts),
        )
        try:
            text = form.write(record)
        except Inexpressible as error:
            raise bad_input(f"This rule has no {form.title}. {error}") from None
        file: Path | None = options["out"]
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise bad_input(f"{file} cannot be written: {error.strerror}.") from None
