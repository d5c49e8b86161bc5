"""Links with which people without an account read one experiment."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    CharField,
    DateTimeField,
    IntegerField,
    Serializer,
    SerializerMethodField,
    URLField,
)

from evolution.api.base import ApiView
from evolution.api.queries import page_of, parameters, read_page
from evolution.api.shapes import opens_something
from evolution.services import sharing
from evolution.views.lookup import experiment_to_change
from evolution.views.sharing import link_or_404

if TYPE_CHECKING:
    from rest_framework.request import Request

_DEFAULT_DAYS, _MAX_DAYS = 30, 365


class LinkSerializer(Serializer):
    """A link; nobody can look up its secret."""

    id = IntegerField(source="pk")
    label = CharField(help_text="For whom it is.")
    created_by = CharField(source="created_by.username", allow_null=True, default=None)
    is_valid = SerializerMethodField(help_text="Neither revoked nor expired.")
    created_at = DateTimeField()
    expires_at = DateTimeField(allow_null=True)
    revoked_at = DateTimeField(allow_null=True)

    def get_is_valid(self, link: Any) -> bool:
        """Return whether it opens anything."""
        return opens_something(link)


class MadeLinkSerializer(LinkSerializer):
    """A link that was just made, with its address."""

    address = URLField(help_text="Shown this once.")


class NewLinkSerializer(Serializer):
    """A link to be made."""

    label = CharField(max_length=100, allow_blank=True, default="", help_text="For whom it is.")
    days = IntegerField(
        min_value=1,
        max_value=_MAX_DAYS,
        allow_null=True,
        default=_DEFAULT_DAYS,
        help_text="Valid for so many days; null until it is revoked.",
    )


class LinkList(ApiView):
    """The links to an experiment."""

    @extend_schema(
        operation_id="list_links",
        summary="List the links with which people without an account read an experiment",
        parameters=parameters(),
        responses=page_of(LinkSerializer),
    )
    def get(self, request: Request, pk: int) -> Response:
        experiment = experiment_to_change(pk, request.user)
        page, _ = read_page(request)
        return Response(
            page.of(experiment.share_links.select_related("created_by"), LinkSerializer)
        )

    @extend_schema(
        operation_id="create_link",
        summary="Make a link with which anybody may read an experiment",
        description="Its address is answered once, and kept nowhere: so there is no idempotency "
        "key. Revoke what you do not need.",
        request=NewLinkSerializer,
        responses={201: MadeLinkSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        experiment = experiment_to_change(pk, request.user)
        values = self.read(NewLinkSerializer)
        days = values["days"]
        link, secret = sharing.create_link(
            experiment,
            by=request.user,
            label=values["label"],
            lifetime=None if days is None else timedelta(days=days),
        )
        link.address = request.build_absolute_uri(reverse("evolution:shared", args=[secret]))
        return Response(MadeLinkSerializer(link).data, status=HTTPStatus.CREATED)


class LinkDetail(ApiView):
    """One link."""

    @extend_schema(
        operation_id="revoke_link",
        summary="Revoke a link; who reads with it now is shut out",
        responses={204: None},
    )
    def delete(self, request: Request, pk: int, link: int) -> Response:
        found = link_or_404(experiment_to_change(pk, request.user), link)
        sharing.revoke_link(found, by=request.user)
        return Response(status=HTTPStatus.NO_CONTENT)
