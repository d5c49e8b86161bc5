"""Sign-in, sign-out and the one-time way in on the first start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from e2l_site import errors

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

#: A link that nobody followed dies after this time, in s; each start prints a new one.
LINK_LIFETIME_S = 24 * 3600
_SALT = "e2l_site.accounts.first-signin"


class AccountExistsError(Exception):
    """There is an account already: the one-time way in is closed."""


class FirstAccountForm(BaseUserCreationForm):
    """User name and password of the person who runs the site."""

    class Meta(BaseUserCreationForm.Meta):
        model = get_user_model()
        fields = ("username",)


class SignInView(LoginView):
    """Sign in with user name and password."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Tell the page whether there is anybody who could sign in."""
        return super().get_context_data(has_accounts=_has_accounts(), **kwargs)


class SignOutView(LogoutView):
    """Sign out (POST only)."""


def first_signin_path() -> str | None:
    """Return the path that lets the first person in, None where an account exists.

    The path is signed, works while there is no account, and at most `LINK_LIFETIME_S`.
    """
    if _has_accounts():
        return None
    return reverse("welcome", args=[signing.dumps("first", salt=_SALT)])


@sensitive_post_parameters()
@never_cache
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest, token: str) -> HttpResponse:
    """Let the holder of the one-time link create the first account."""
    try:
        signing.loads(token, salt=_SALT, max_age=LINK_LIFETIME_S)
    except signing.SignatureExpired:
        return errors.gone(
            request, "This link has expired. Start the site again: it prints a new one."
        )
    except signing.BadSignature:
        raise Http404("This link is not complete. Copy all of it from the terminal.") from None
    try:
        return _welcome(request)
    except AccountExistsError:
        return errors.gone(
            request,
            "This link has done its work: the site has an account. Sign in with its user name "
            "and password. A forgotten password is set anew by the command "
            "“manage.py changepassword” on the server.",
        )


def _welcome(request: HttpRequest) -> HttpResponse:
    if _has_accounts():
        raise AccountExistsError
    form = FirstAccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = _create_first_account(form)
        login(request, user, backend="e2l_site.backends.Accounts")
        messages.success(request, f"Welcome, {user.get_username()}. The site is yours.")
        return redirect("evolution:experiments")
    return render(request, "accounts/welcome.html", {"form": form})


def _create_first_account(form: FirstAccountForm) -> AbstractBaseUser:
    with transaction.atomic():
        # Two people with the same link: a lock on a row that always exists lets in one of them.
        ContentType.objects.select_for_update().get_or_create(app_label="auth", model="user")
        if _has_accounts():
            raise AccountExistsError
        user = form.save(commit=False)
        user.is_staff = user.is_superuser = True
        user.save()
    return user


def _has_accounts() -> bool:
    return get_user_model().objects.exists()
