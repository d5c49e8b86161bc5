"""Filters and pages in addresses, and their description for the schema."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django import forms
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from evolution.api.problems import InvalidQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rest_framework.request import Request

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
_LARGEST = 2**31 - 1
_PAGE = ("limit", "offset")


class PageForm(forms.Form):
    """Which part of a list is wanted."""

    limit = forms.IntegerField(
        required=False, min_value=1, max_value=MAX_LIMIT, help_text="Length of a page."
    )
    offset = forms.IntegerField(
        required=False, min_value=0, max_value=_LARGEST, help_text="How many items come before."
    )


@dataclass(frozen=True)
class Page:
    """A part of a list."""

    request: Request
    limit: int
    offset: int

    def answer(self, items: Sequence[Any], *, count: int | None, is_more: bool) -> dict[str, Any]:
        """Return the body of an answer: the items, and where those before and after them are."""
        before = max(0, self.offset - self.limit)
        return {
            "count": count,
            "next": self._address(self.offset + self.limit) if is_more else None,
            "previous": self._address(before) if self.offset else None,
            "results": items,
        }

    def of(
        self,
        found: Any,
        shape: type[serializers.Serializer],
        prepare: Callable[[list[Any]], list[Any]] = list,
    ) -> dict[str, Any]:
        """Return the body of an answer with this part of a queryset or list.

        Parameters
        ----------
        prepare : callable, optional
            Gives the items what their shape shows and they lack.
        """
        count = len(found) if isinstance(found, list) else found.count()
        items = prepare(list(found[self.offset : self.offset + self.limit]))
        shown = shape(items, many=True).data
        return self.answer(shown, count=count, is_more=self.offset + self.limit < count)

    def _address(self, offset: int) -> str:
        query = self.request.GET.copy()
        query["offset"], query["limit"] = str(offset), str(self.limit)
        path = self.request.path
        return self.request.build_absolute_uri(f"{path}?{query.urlencode()}")


def read_page(request: Request, *fields: forms.Form) -> tuple[Page, dict[str, Any]]:
    """Return the page and the values that an address asks for.

    Raises
    ------
    InvalidQuery
        If something does not fit, or there is no such parameter.
    """
    page = PageForm(request.GET)
    values = read_query(request, page, *fields)
    return Page(request, values["limit"] or DEFAULT_LIMIT, values["offset"] or 0), values


def read_query(request: Request, *fields: forms.Form, also: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values of filters that an address asks for.

    Parameters
    ----------
    request : Request
    *fields : Form
        Of the address's parameters.
    also : sequence of str
        Parameters that somebody else reads.
    """
    known = [*also, *(name for form in fields for name in form.fields)]
    errors = [
        {
            "parameter": name,
            "detail": f"There is no such parameter here. There are: {', '.join(known) or 'none'}.",
        }
        for name in request.GET
        if name not in known
    ]
    values: dict[str, Any] = {}
    for form in fields:
        form.is_valid()
        values |= form.cleaned_data
        errors += [
            {"parameter": name, "detail": text}
            for name, texts in form.errors.items()
            for text in texts
        ]
    if errors:
        raise InvalidQuery(errors)
    return values


def parameters(*fields: forms.Form | type[forms.Form], paged: bool = True) -> list[Any]:
    """Return the description of filters, and of pages."""
    described = []
    for form in (*fields, *((PageForm,) if paged else ())):
        items = form.fields if isinstance(form, forms.Form) else form.base_fields
        for name, field in items.items():
            described.append(
                OpenApiParameter(
                    name,
                    _schema(name, field),
                    required=field.required,
                    description=str(field.help_text or field.label or ""),
                )
            )
    return described


def _schema(name: str, field: forms.Field) -> dict[str, Any]:
    schema: dict[str, Any]
    if isinstance(field, forms.FloatField):
        schema = {"type": "number"}
    elif isinstance(field, forms.IntegerField):
        schema = {"type": "integer", "minimum": field.min_value, "maximum": field.max_value}
    elif isinstance(field, forms.ChoiceField):
        values = [str(value) for value, _ in field.choices if value != ""]
        schema = {"type": "string", **({"enum": values} if values else {})}
    elif isinstance(field, forms.DateField):
        schema = {"type": "string", "format": "date"}
    else:
        schema = {"type": "string"}
        if getattr(field, "max_length", None):
            schema["maxLength"] = field.max_length
    if name == "limit":
        schema["default"] = DEFAULT_LIMIT
    return {key: value for key, value in schema.items() if value is not None}


@cache
def page_of(item: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """Return the shape of a page of items."""
    name = item.__name__.removesuffix("Serializer")
    members = {
        "__doc__": f"A part of a list: {(item.__doc__ or name).splitlines()[0]}",
        "count": serializers.IntegerField(
            allow_null=True, help_text="How many there are in all; null where that is not known."
        ),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": item(many=True),
    }
    return type(f"{name}PageSerializer", (serializers.Serializer,), members)
