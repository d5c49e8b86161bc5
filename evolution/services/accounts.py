"""Accounts: creating them, their roles, and links with which people set their passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from evolution import access
from evolution.enums import Action, Role
from evolution.errors import AccountRefused
from evolution.services import audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from evolution.access import Person


def create_account(name: str, role: Role, *, by: Person | None) -> User:
    """Create an account without a password; its holder sets one with `password_path`.

    Raises
    ------
    AccountRefused
        If the name is taken or cannot be one.
    """
    users = get_user_model()
    user = users(username=users.normalize_username(name))
    user.set_unusable_password()
    try:
        user.full_clean()
    except ValidationError as error:
        raise AccountRefused(" ".join(error.messages)) from None
    if users.objects.filter(username__iexact=user.username).exists():
        raise AccountRefused("A user with a name like this exists already.")
    with transaction.atomic():
        user.save()
        _join(user, role)
        audit.record(
            Action.ACCOUNT_CREATED, by=by, subject=f"account {user.username}", detail=role.label
        )
    return user


def admit(user: User, role: Role, *, detail: str) -> None:
    """Give a role to an account that somebody else vouches for, and write down who does."""
    with transaction.atomic():
        _join(user, role)
        audit.record(
            Action.ACCOUNT_CREATED,
            by=user,
            subject=f"account {user.username}",
            detail=f"{role.label}, by {detail}",
        )


def set_role(user: User, role: Role, *, by: Person | None) -> None:
    """Give an account another role.

    Raises
    ------
    AccountRefused
        If nobody could manage accounts any more.
    """
    with transaction.atomic():
        if role is not Role.OPERATOR:
            _keep_an_operator(user)
        _join(user, role)
        audit.record(
            Action.ROLE_CHANGED, by=by, subject=f"account {user.username}", detail=role.label
        )


def set_active(user: User, is_active: bool, *, by: Person | None) -> None:
    """Let somebody sign in, or not any more; present sessions end at once.

    Raises
    ------
    AccountRefused
        If nobody could manage accounts any more.
    """
    with transaction.atomic():
        if not is_active:
            _keep_an_operator(user)
        user.is_active = is_active
        user.save(update_fields=["is_active"])
        action = Action.ACTIVATED if is_active else Action.DEACTIVATED
        audit.record(action, by=by, subject=f"account {user.username}")


def password_path(user: User, *, by: Person | None) -> str:
    """Return the path of a page where somebody sets a password, once.

    It dies when it was used, when its holder signs in, and after ``PASSWORD_RESET_TIMEOUT``.
    """
    audit.record(Action.PASSWORD_LINK, by=by, subject=f"account {user.username}")
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("set-password", args=[uid, default_token_generator.make_token(user)])


def end_sessions(user: User, *, password: str | None) -> None:
    """Make all sessions of an account void.

    A session holds a digest of the stored text of the password, which has a salt: the same password
    set anew ends them all.

    Parameters
    ----------
    password : str or None
        The present password; None where an account has none.
    """
    if user.has_usable_password() and not (password and user.check_password(password)):
        raise AccountRefused("This is not the password.")
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        audit.record(Action.SESSIONS_ENDED, by=user)


def _join(user: User, role: Role) -> None:
    """Make somebody a member of one role's group; a superuser is an operator whatever his group."""
    is_superuser = user.is_superuser and role is Role.OPERATOR
    if user.is_superuser != is_superuser:
        user.is_superuser = user.is_staff = is_superuser
        user.save(update_fields=["is_superuser", "is_staff"])
    user.groups.remove(*Group.objects.filter(name__in=Role.values))
    group, _ = Group.objects.get_or_create(name=role.value)
    user.groups.add(group)
    user.role_name = role.value


def _keep_an_operator(user: User) -> None:
    users = access.with_role(get_user_model().objects.select_for_update().filter(is_active=True))
    others = [other for other in users if other.pk != user.pk and access.is_operator(other)]
    if access.is_operator(user) and not others:
        raise AccountRefused("This is the only operator: make somebody else one first.")
