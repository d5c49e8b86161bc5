"""Writes sign-ins, sign-outs and failures into the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.signals import user_locked_out
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from evolution.enums import Action
from evolution.services import audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest


@receiver(user_logged_in)
def _signed_in(user: User, **_: Any) -> None:
    audit.record(Action.SIGNED_IN, by=user)


@receiver(user_logged_out)
def _signed_out(user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record(Action.SIGNED_OUT, by=user)


@receiver(user_login_failed)
def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    # Attempts while locked out would fill the log.
    if request is not None and not getattr(request, "axes_locked_out", False):
        _record(Action.SIGN_IN_FAILED, credentials.get("username"))


@receiver(user_locked_out)
def _locked_out(request: HttpRequest, username: str | None, **_: Any) -> None:
    if request.axes_failures_since_start is not None:  # only the attempt that was one too many
        _record(Action.LOCKED_OUT, username)


def _record(action: Action, name: str | None) -> None:
    # A name that no account has may be a password that was typed into the wrong field.
    is_known = get_user_model().objects.filter(username=name or "").exists()
    subject = f"account {name}" if is_known else "a name that no account has"
    audit.record(action, by=AnonymousUser(), subject=subject)
