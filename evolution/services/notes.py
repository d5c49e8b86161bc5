"""What people note about rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from evolution.enums import Action
from evolution.models import Rule, RuleNote
from evolution.services import audit
from evolution.services.evaluations import get_or_create_rules

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from nest_build.rules import PlasticityRule


def add_to_catalogue(rule: PlasticityRule) -> Rule:
    """Return the record of a canonical rule, made if there is none."""
    (pk,) = get_or_create_rules(rule.signature, [rule]).values()
    return Rule.objects.get(pk=pk)


def keep_note(rule: Rule, *, author: AbstractBaseUser, name: str, text: str) -> RuleNote:
    """Give a rule a name and notes, in place of what the author wrote before."""
    with transaction.atomic():
        note, _ = RuleNote.objects.update_or_create(
            rule=rule, author=author, defaults={"name": name, "text": text}
        )
        audit.record(Action.NOTED, by=author, subject=f"rule {rule.pk}", detail=name)
    return note
