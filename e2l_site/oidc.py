"""Sign-in by OpenID Connect, through django-allauth; imported only where it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings

from evolution.enums import Role
from evolution.services import accounts

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Gives those who sign in for the first time an account with the role of the settings."""

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """Save a new account with its role."""
        user = super().save_user(request, sociallogin, form)
        accounts.admit(user, Role(settings.OIDC["role"]), detail=settings.OIDC["name"])
        return user
