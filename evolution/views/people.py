"""Accounts, as operators manage them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from evolution import access
from evolution.enums import Role
from evolution.errors import AccountRefused
from evolution.services import accounts
from evolution.views.control import conflict
from evolution.views.guards import for_operators
from evolution.views.lookup import account_or_404

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class AccountForm(forms.Form):
    """A new account."""

    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(label="Role", choices=Role.choices, initial=Role.MEMBER)


class RoleForm(forms.Form):
    """Another role."""

    role = forms.ChoiceField(choices=Role.choices)


@for_operators
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """List accounts, or create one and show the link with which its holder sets a password."""
    if request.method != "POST":
        return _show(request, AccountForm(label_suffix=""))
    form = AccountForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _show(request, form, status=422)
    values = form.cleaned_data
    try:
        user = accounts.create_account(values["username"], Role(values["role"]), by=request.user)
    except AccountRefused as error:
        form.add_error("username", str(error))
        return _show(request, form, status=422)
    return _show_link(request, user, status=201)


@for_operators
@require_POST
def role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give an account another role."""
    user = account_or_404(pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise Http404("There is no such role.")
    try:
        accounts.set_role(user, Role(form.cleaned_data["role"]), by=request.user)
    except AccountRefused as error:
        return conflict(request, str(error), request.path.partition("people/")[0] + "people/")
    messages.success(request, f"{user.username} is {form.cleaned_data['role']} now.")
    return redirect("evolution:people")


@for_operators
@require_POST
def active(request: HttpRequest, pk: int) -> HttpResponse:
    """Deactivate an account, or let its holder sign in again."""
    user = account_or_404(pk)
    try:
        accounts.set_active(user, request.POST.get("active") == "1", by=request.user)
    except AccountRefused as error:
        return conflict(request, str(error), request.path.partition("people/")[0] + "people/")
    did = "may sign in again" if user.is_active else "was deactivated, and is signed out"
    messages.success(request, f"{user.username} {did}.")
    return redirect("evolution:people")


@for_operators
@never_cache
@require_POST
def password_link(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a link with which somebody sets a password."""
    return _show_link(request, account_or_404(pk), status=200)


def _show_link(request: HttpRequest, user: User, *, status: int) -> HttpResponse:
    path = accounts.password_path(user, by=request.user)
    context = {"new_user": user, "new_address": request.build_absolute_uri(path)}
    return _show(request, AccountForm(label_suffix=""), status=status, **context)


def _show(
    request: HttpRequest, form: AccountForm, *, status: int = 200, **more: object
) -> HttpResponse:
    users = access.with_role(get_user_model().objects.order_by("username"))
    context = {
        "section": "people",
        "form": form,
        "rows": [{"user": user, "role": access.role_of_account(user)} for user in users],
        "roles": Role.choices,
        **more,
    }
    return render(request, "accounts/people.html", context, status=status)
