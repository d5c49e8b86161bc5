"""Experiments as files: taken away, brought in, made again and compared."""

from __future__ import annotations

from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
)

from evolution.api.base import ApiView, created, files_of
from evolution.api.experiments import described_experiment
from evolution.api.problems import Invalid, TooLarge
from evolution.api.shapes import ExperimentSerializer, NumberField
from evolution.differences import differences
from evolution.experiment_file import BrokenExperimentFile
from evolution.services import experiments
from evolution.services.imports import import_experiment
from evolution.views.exchange import PAGE_LIMITS, export_response, reproduction_or_404
from evolution.views.lookup import experiment_or_404

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

    from evolution.services.idempotency import Answer

_ZIP = "application/zip"
_IN_MEMORY, _PIECE = 2**20, 2**16


class FileParser(BaseParser):
    """An experiment file as the whole body, kept on disk where it is large."""

    media_type = _ZIP

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> IO[bytes]:
        """Return the file."""
        file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- the view closes it
        n_left = PAGE_LIMITS.file_bytes
        while piece := stream.read(_PIECE):
            n_left -= len(piece)
            if n_left < 0:
                file.close()
                raise TooLarge
            file.write(piece)
        file.seek(0)
        return file


class RunDifferenceSerializer(Serializer):
    """How a run differs from the run of the same seed."""

    run = IntegerField(source="number")
    seed = IntegerField()
    verdict = CharField()
    is_identical = BooleanField(help_text="All generations are there and the same, bit for bit.")
    n_compared = IntegerField(help_text="Generations that both have.")
    n_generations = IntegerField(help_text="Last one of the original; -1 for none.")
    first = IntegerField(allow_null=True, help_text="The first generation that differs.")
    what = ListField(child=CharField(), help_text="What differs in it.")
    n_different = IntegerField(help_text="Generations whose champion or survivors differ.")
    largest = NumberField(
        help_text="Largest difference of the champions' fitness; null where one has none."
    )


class SoftwareDifferenceSerializer(Serializer):
    """Software of which original and reproduction have other versions."""

    name = CharField()
    original = CharField()
    reproduction = CharField()


class DifferenceOfHistoriesSerializer(Serializer):
    """How a reproduction differs from its original."""

    original = IntegerField()
    verdict = CharField()
    is_identical = BooleanField(help_text="Everything is the same, bit for bit.")
    is_over = BooleanField(help_text="Nothing more is to be expected.")
    progress = FloatField(help_text="Share of the original's generations, from 0 to 1.")
    n_different = IntegerField(help_text="Runs that differ.")
    runs = RunDifferenceSerializer(many=True)
    software = SoftwareDifferenceSerializer(many=True)


class ExperimentExport(ApiView):
    """The file of an experiment."""

    renderer_classes = (files_of(_ZIP),)

    @extend_schema(
        operation_id="export_experiment",
        summary="Download an experiment with its whole history as a file",
        responses={(200, _ZIP): OpenApiResponse(OpenApiTypes.BINARY)},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        return export_response(request, experiment_or_404(pk, request.user))


class ExperimentImport(ApiView):
    """Experiments that are brought in."""

    parser_classes = (FileParser,)

    @extend_schema(
        operation_id="import_experiment",
        summary="Bring in the experiment of a file, as one that nobody changes",
        description="The body is the file itself, of at most "
        f"{PAGE_LIMITS.file_bytes // 2**20} MiB, with a Content-Length. The same content a second "
        "time leads to the experiment that is there (200).",
        request={_ZIP: OpenApiTypes.BINARY},
        responses={
            201: OpenApiResponse(ExperimentSerializer, description="It was imported."),
            200: OpenApiResponse(ExperimentSerializer, description="It was imported before."),
        },
    )
    def post(self, request: Request) -> Response:
        if not request.data:
            raise Invalid([{"detail": "The body is empty: send the file with its length."}])
        with request.data as file:
            try:
                experiment, is_new = import_experiment(file, owner=request.user, limits=PAGE_LIMITS)
            except BrokenExperimentFile as error:
                raise Invalid([{"detail": str(error)}]) from None
        status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        location = reverse("api:experiment", args=[experiment.pk])
        body = described_experiment(experiment, request.user)
        return Response(body, status=status, headers={"Location": location})


class ExperimentReproduce(ApiView):
    """Experiments that are made again."""

    @extend_schema(
        operation_id="reproduce_experiment",
        summary="Launch an experiment that is over once more, to see whether the same comes out",
        request=None,
        responses={201: ExperimentSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        experiment = experiment_or_404(pk, request.user)

        def act() -> Answer:
            reproduction = experiments.reproduce_experiment(experiment, by=request.user)
            location = reverse("api:experiment", args=[reproduction.pk])
            return created(described_experiment(reproduction, request.user), location)

        return self.once(act)


class ExperimentDifference(ApiView):
    """What a reproduction says."""

    @extend_schema(
        operation_id="get_difference",
        summary="Compare a reproduction with its original, as far as both are",
        responses=DifferenceOfHistoriesSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        experiment = reproduction_or_404(pk, request.user)
        found = differences(experiment)
        names = ("name", "original", "reproduction")
        body = {
            "original": experiment.original_id,
            **{
                name: getattr(found, name)
                for name in (
                    "verdict", "is_identical", "is_over", "progress", "n_different", "runs",
                )
            },
            "software": [dict(zip(names, row, strict=True)) for row in found.software],
        }  # fmt: skip
        return Response(DifferenceOfHistoriesSerializer(body).data)
