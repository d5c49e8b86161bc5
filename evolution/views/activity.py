"""The audit log, as operators read it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evolution.enums import Action
from evolution.filters import ActivityFilter
from evolution.models import LogEntry
from evolution.services import audit
from evolution.views.guards import for_operators

if TYPE_CHECKING:
    from evolution.models.people import LogEntryQuerySet

PER_PAGE = 100


@for_operators
@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """List what people did, the latest first; filters and page stand in the address."""
    form = ActivityFilter(request.GET)
    entries = filtered_entries(form)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "section": "activity",
        "form": form,
        "page": Paginator(entries, PER_PAGE).get_page(request.GET.get("page")),
        "query": query.urlencode(),
    }
    status = 400 if form.errors else 200
    return render(request, "accounts/activity.html", context, status=status)


@for_operators
@never_cache
@require_safe
def table(request: HttpRequest) -> HttpResponse:
    """Return what the filters let through as CSV."""
    entries = filtered_entries(ActivityFilter(request.GET))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["when", "who", "what", "subject", "detail", "address"])
    for entry in entries.iterator(chunk_size=2000):
        cells = (entry.who, entry.get_action_display(), entry.subject, entry.detail)
        writer.writerow([entry.created_at.isoformat(), *map(_inert, cells), entry.address or ""])
    audit.record(Action.EXPORTED, by=request.user, subject="the audit log")
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="activity.csv"'
    return response


def _inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def filtered_entries(form: ActivityFilter) -> LogEntryQuerySet:
    """Return what the filters let through, the latest first; nothing where one does not fit."""
    entries = LogEntry.objects.order_by("-pk")
    if not form.is_valid():
        return entries.none()
    conditions = {
        "who": form.cleaned_data["who"],
        "action": form.cleaned_data["action"],
        "subject__icontains": form.cleaned_data["q"],
        "created_at__date__gte": form.cleaned_data["since"],
        "created_at__date__lte": form.cleaned_data["until"],
    }
    return entries.filter(**{name: value for name, value in conditions.items() if value})
