"""Sign-in, sign-out, the one-time way in on the first start, and everybody's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model, login, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import BaseUserCreationForm, PasswordChangeForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordResetConfirmView
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from e2l_site import errors
from evolution import access
from evolution.enums import Action
from evolution.services import accounts, audit

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
        return super().get_context_data(has_accounts=_has_accounts(), oidc=settings.OIDC, **kwargs)


class SignOutView(LogoutView):
    """Sign out (POST only)."""


class SetPasswordView(PasswordResetConfirmView):
    """Set a password with a one-time link that an operator has made."""

    template_name = "accounts/set_password.html"
    success_url = reverse_lazy("sign-in")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        """Set the password, say so, and write it down."""
        response = super().form_valid(form)
        audit.record(Action.PASSWORD_SET, by=self.user, subject=f"account {self.user.username}")
        messages.success(self.request, "The password was set. Sign in with it.")
        return response


class SessionsForm(forms.Form):
    """The present password, of those who have one."""

    password = forms.CharField(label="Present password", strip=False, widget=forms.PasswordInput)

    def __init__(self, user: AbstractBaseUser, data: Any = None) -> None:
        super().__init__(data, label_suffix="", prefix="sessions")
        self._user = user
        self.fields["password"].widget.attrs["autocomplete"] = "current-password"
        if not user.has_usable_password():
            del self.fields["password"]

    def clean_password(self) -> str:
        """Refuse another password."""
        password = self.cleaned_data["password"]
        if not self._user.check_password(password):
            raise forms.ValidationError("This is not your password.")
        return password


@never_cache
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Show everybody's own account: role, password, sessions."""
    return _account(request)


@sensitive_post_parameters()
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    """Set another password; other sessions end."""
    form = PasswordChangeForm(request.user, request.POST)
    if not request.user.has_usable_password() or not form.is_valid():
        return _account(request, password_form=form)
    form.save()
    update_session_auth_hash(request, request.user)
    audit.record(Action.PASSWORD_SET, by=request.user)
    messages.success(request, "The password was changed. You were signed out everywhere else.")
    return redirect("account")


@sensitive_post_parameters()
@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere else."""
    form = SessionsForm(request.user, request.POST)
    if not form.is_valid():
        return _account(request, sessions_form=form)
    accounts.end_sessions(request.user, password=form.cleaned_data.get("password"))
    update_session_auth_hash(request, request.user)
    messages.success(request, "You were signed out everywhere else.")
    return redirect("account")


def _account(
    request: HttpRequest,
    password_form: forms.Form | None = None,
    sessions_form: forms.Form | None = None,
) -> HttpResponse:
    has_password = request.user.has_usable_password()
    context = {
        "section": "account",
        "role": access.role_of(request.user),
        "has_password": has_password,
        "password_form": password_form or PasswordChangeForm(request.user),
        "sessions_form": sessions_form or SessionsForm(request.user),
    }
    is_refused = bool(password_form or sessions_form)
    return render(request, "accounts/account.html", context, status=422 if is_refused else 200)


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
