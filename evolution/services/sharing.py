"""Who sees an experiment: its visibility, and links for people without an account."""

from __future__ import annotations

import hashlib
import secrets
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import get_user
from django.db import transaction
from django.utils import timezone

from evolution.enums import Action, Visibility
from evolution.models import EvaluationContext, Individual, Rule, ShareLink
from evolution.services import audit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import timedelta

    from django.contrib.sessions.backends.base import SessionBase

    from evolution.access import Person
    from evolution.models import Experiment


#: Key of the session under which the ids of opened links are kept.
SHARED_LINKS = "shared_links"


def set_visibility(experiment: Experiment, visibility: Visibility, *, by: Person | None) -> None:
    """Let the laboratory see an experiment, or only its owner.

    What the laboratory has come to know, it knows: rules and trials that it could see stay in the
    catalogue when an experiment becomes private.
    """
    if experiment.visibility == visibility:
        return
    is_shared = visibility == Visibility.LABORATORY
    with transaction.atomic():
        experiment.visibility = visibility
        experiment.save(update_fields=["visibility"])
        if is_shared:
            now = timezone.now()
            found = Individual.objects.filter(run__experiment=experiment).values("rule")
            Rule.objects.filter(shared_at__isnull=True, pk__in=found).update(shared_at=now)
            used = Individual.objects.filter(run__experiment=experiment, evaluation__isnull=False)
            EvaluationContext.objects.filter(
                shared_at__isnull=True, pk__in=used.values("evaluation__context")
            ).update(shared_at=now)
            EvaluationContext.objects.filter(
                shared_at__isnull=True, validations__experiment=experiment
            ).update(shared_at=now)
        action = Action.OPENED if is_shared else Action.HIDDEN
        audit.record(action, by=by, experiment=experiment)


def create_link(
    experiment: Experiment, *, by: Person | None, label: str = "", lifetime: timedelta | None = None
) -> tuple[ShareLink, str]:
    """Return a link with which anybody may read an experiment, and its secret.

    The secret is returned once; the database keeps a digest.
    """
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        link = ShareLink.objects.create(
            experiment=experiment,
            digest=_digest(secret),
            label=label,
            created_by=by,
            expires_at=timezone.now() + lifetime if lifetime else None,
        )
        audit.record(Action.LINK_MADE, by=by, experiment=experiment, detail=label)
    return link, secret


def revoke_link(link: ShareLink, *, by: Person | None) -> None:
    """End a link; who reads with it now is asked to sign in at the next request."""
    with transaction.atomic():
        ended = ShareLink.objects.filter(pk=link.pk, revoked_at__isnull=True)
        if ended.update(revoked_at=timezone.now()):
            audit.record(Action.LINK_REVOKED, by=by, experiment=link.experiment, detail=link.label)


def find_link(secret: str) -> ShareLink | None:
    """Return the link with this secret, None if there is none that still opens something."""
    # Looking up a digest takes the same time however much of a guess is right.
    return ShareLink.objects.active().filter(digest=_digest(secret)).first()


def experiments_of_links(link_ids: Iterable[int]) -> frozenset[int]:
    """Return the ids of the experiments that links still open."""
    links = ShareLink.objects.active().filter(pk__in=list(link_ids))
    return frozenset(links.values_list("experiment_id", flat=True))


def reader_of(session: SessionBase) -> Person:
    """Return who a session belongs to now, with what its links open; reads the session anew."""
    key = session.session_key
    return readers_of([key])[key]


def readers_of(session_keys: Collection[str | None]) -> dict[str | None, Person]:
    """Return who sessions belong to now by their keys; see :func:`reader_of`."""
    sessions = import_module(settings.SESSION_ENGINE).SessionStore.load_all(session_keys)
    return {key: _reader_of(fresh) for key, fresh in sessions.items()}


def _reader_of(fresh: SessionBase) -> Person:
    # Django's own check that account and password are still those of the sign-in.
    user = get_user(SimpleNamespace(session=fresh))
    if links := fresh.get(SHARED_LINKS):
        user.shared_experiments = experiments_of_links(links)
    return user


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
