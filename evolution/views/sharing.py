"""Who sees an experiment: its visibility, and links for people without an account."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from evolution.enums import Visibility
from evolution.services import sharing
from evolution.views.lookup import experiment_to_change

if TYPE_CHECKING:
    from evolution.models import Experiment, ShareLink

_LIFETIMES = {"7": "a week", "30": "a month", "365": "a year", "": "until it is revoked"}


class VisibilityForm(forms.Form):
    """Who may read an experiment."""

    visibility = forms.ChoiceField(
        label="Who may read it", choices=Visibility.choices, widget=forms.RadioSelect
    )


class LinkForm(forms.Form):
    """A new link."""

    label = forms.CharField(
        label="For whom", required=False, max_length=100, help_text="To find it again in the list."
    )
    days = forms.ChoiceField(label="Valid", required=False, choices=list(_LIFETIMES.items()))


@never_cache
@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show who may read an experiment, and its links."""
    return _show(request, experiment_to_change(pk, request.user))


@require_POST
def visibility(request: HttpRequest, pk: int) -> HttpResponse:
    """Open an experiment to the laboratory, or make it private."""
    experiment = experiment_to_change(pk, request.user)
    form = VisibilityForm(request.POST)
    if not form.is_valid():
        return _show(request, experiment, visibility_form=form, status=422)
    sharing.set_visibility(experiment, Visibility(form.cleaned_data["visibility"]), by=request.user)
    messages.success(
        request, f"“{experiment.name}” is read by {experiment.get_visibility_display()} now."
    )
    return redirect("evolution:sharing", pk)


@never_cache
@require_POST
def create(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a link, and show it this once."""
    experiment = experiment_to_change(pk, request.user)
    form = LinkForm(request.POST)
    if not form.is_valid():
        return _show(request, experiment, link_form=form, status=422)
    days = form.cleaned_data["days"]
    _, secret = sharing.create_link(
        experiment,
        by=request.user,
        label=form.cleaned_data["label"],
        lifetime=timedelta(days=int(days)) if days else None,
    )
    address = request.build_absolute_uri(reverse("evolution:shared", args=[secret]))
    return _show(request, experiment, new_address=address, status=201)


@require_POST
def revoke(request: HttpRequest, pk: int, link: int) -> HttpResponse:
    """End a link."""
    experiment = experiment_to_change(pk, request.user)
    sharing.revoke_link(link_or_404(experiment, link), by=request.user)
    messages.success(request, "The link was revoked. Who reads with it now is shut out.")
    return redirect("evolution:sharing", pk)


@login_not_required
@never_cache
@require_safe
def open_link(request: HttpRequest, secret: str) -> HttpResponse:
    """Let the holder of a link read its experiment in this session."""
    link = sharing.find_link(secret)
    if link is None:
        raise Http404(
            "This link does not open anything: it was revoked, has expired or is cut off."
        )
    opened = request.session.get(sharing.SHARED_LINKS, [])
    if link.pk not in opened:
        request.session[sharing.SHARED_LINKS] = [*opened, link.pk][-20:]
    response = redirect("evolution:experiment", link.experiment_id)
    # The secret stands in the address of this page alone, and goes nowhere from it.
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


def link_or_404(experiment: Experiment, number: int) -> ShareLink:
    """Return a link to an experiment, or answer that there is none."""
    found = experiment.share_links.filter(pk=number).first()
    if found is None:
        raise Http404(f"The experiment {experiment.pk} has no such link.")
    return found


def _show(
    request: HttpRequest, experiment: Experiment, *, status: int = 200, **more: Any
) -> HttpResponse:
    context = {
        "section": "experiments",
        "experiment": experiment,
        "visibility_form": VisibilityForm(
            initial={"visibility": experiment.visibility}, label_suffix=""
        ),
        "link_form": LinkForm(initial={"days": "30"}, label_suffix=""),
        "links": experiment.share_links.select_related("created_by"),
        **more,
    }
    return render(request, "evolution/sharing.html", context, status=status)
