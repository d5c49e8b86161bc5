"""How accounts are looked up."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db import DEFAULT_DB_ALIAS

from evolution import access
from evolution.prepared import PreparedQuery, number_places

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Accounts(ModelBackend):
    """Accounts with their roles: what a page needs to know of its reader costs one statement."""

    def get_user(self, user_id: int) -> User | None:
        """Return an active account with its role."""
        (place,) = number_places(1)
        names = _names()
        for row in _query().rows({place: user_id}):
            user = get_user_model().from_db(DEFAULT_DB_ALIAS, names, row[:-1])
            user.role_name = row[-1]
            return user if self.user_can_authenticate(user) else None
        return None


def _names() -> list[str]:
    return [field.attname for field in get_user_model()._meta.concrete_fields]


@cache
def _query() -> PreparedQuery:
    """Return the question that begins every request, which takes Django longest to write."""
    (place,) = number_places(1)
    users = access.with_role(get_user_model().objects.filter(pk=place))
    return PreparedQuery(users.values_list(*_names(), "role_name"))
