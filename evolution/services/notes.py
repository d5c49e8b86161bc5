"""What people note about rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.models import Rule, RuleNote
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
    note, _ = RuleNote.objects.update_or_create(
        rule=rule, author=author, defaults={"name": name, "text": text}
    )
    return note
