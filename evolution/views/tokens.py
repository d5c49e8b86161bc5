"""Personal tokens: everybody makes, lists and revokes his own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution import access
from evolution.enums import Scope
from evolution.models import ApiToken
from evolution.services import tokens

if TYPE_CHECKING:
    from evolution.access import Person

#: Tokens that a page lists; those that open nothing any more come last.
N_TOKENS = 100
_LIFETIMES = {"7": "a week", "30": "a month", "90": "three months", "365": "a year"}


class TokenForm(forms.Form):
    """A new token."""

    name = forms.CharField(max_length=100, help_text="What will use it, such as “notebook”.")
    scopes = forms.MultipleChoiceField(
        label="May", choices=Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    days = forms.ChoiceField(label="Valid for", choices=list(_LIFETIMES.items()))

    def __init__(self, user: Person, data: Any = None) -> None:
        super().__init__(data, initial={"scopes": [Scope.READ], "days": "90"}, label_suffix="")
        allowed = access.token_scopes(user)
        self.fields["scopes"].choices = [(scope.value, scope.label) for scope in allowed]


@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show one's tokens, and the form of a new one."""
    return _show(request)


@never_cache
@require_POST
def create(request: HttpRequest) -> HttpResponse:
    """Make a token, and show its secret this once."""
    form = TokenForm(request.user, request.POST)
    if not form.is_valid():
        return _show(request, form=form, status=422)
    values = form.cleaned_data
    _, secret = tokens.create_token(
        request.user,
        name=values["name"],
        scopes=[Scope(scope) for scope in values["scopes"]],
        lifetime=timedelta(days=int(values["days"])),
    )
    return _show(request, secret=secret, status=201)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End a token."""
    token = own_token_or_404(pk, request.user)
    tokens.revoke_token(token, by=request.user)
    messages.success(request, f"The token “{token.name}” was revoked.")
    return redirect("evolution:tokens")


def own_token_or_404(pk: int, user: Person) -> ApiToken:
    """Return a token of somebody, or answer that he has none like this."""
    token = ApiToken.objects.filter(owner=user, pk=pk).first()
    if token is None:
        raise Http404("You have no such token.")
    return token


def _show(
    request: HttpRequest,
    *,
    form: forms.Form | None = None,
    secret: str = "",
    status: int = 200,
) -> HttpResponse:
    now = timezone.now()
    own = list(ApiToken.objects.filter(owner=request.user)[:N_TOKENS])
    for token in own:
        token.is_expired = token.expires_at is not None and token.expires_at <= now
    own.sort(key=lambda token: bool(token.revoked_at or token.is_expired))
    context = {
        "section": "account",
        "form": form or TokenForm(request.user),
        "tokens": own,
        "secret": secret,
    }
    return render(request, "accounts/tokens.html", context, status=status)
