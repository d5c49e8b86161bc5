"""How accounts are looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.backends import ModelBackend

from evolution import access

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Accounts(ModelBackend):
    """Accounts with their roles: what a page needs to know of its reader costs one statement."""

    def get_user(self, user_id: int) -> User | None:
        """Return an active account with its role."""
        user = access.account(user_id)
        return user if user is not None and self.user_can_authenticate(user) else None
