"""Recordings of simulations on demand as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from evolution import access
from evolution.errors import StateConflict
from evolution.models import Recording
from evolution.services.experiments import provenance
from evolution.views.control import conflict
from evolution.views.guards import open_to_the_public

if TYPE_CHECKING:
    from evolution.access import Person
    from evolution.models import Probe

#: Media types by the end of the file's name.
TYPES = {"nwb": "application/x-hdf5", "zip": "application/zip"}


@open_to_the_public
@require_safe
def file(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """Return what a simulation has recorded: as NWB, or as a zip archive of CSV files."""
    recording = recording_or_404(pk, kind, request.user)
    try:
        return recording_response(recording, kind)
    except StateConflict as error:
        return conflict(request, str(error), recording.probe.rule.get_absolute_url())


def recording_or_404(pk: int, kind: str, user: Person) -> Recording:
    """Return the recording of a simulation, or answer that there is none that may be seen."""
    if kind not in TYPES:
        raise Http404(f"Recordings can be had as {' or '.join(TYPES)}.")
    readable = Recording.objects.filter(probe__rule__in=access.visible_rules(user))
    recording = readable.select_related("probe__rule").filter(probe=pk).first()
    if recording is None:
        raise Http404(f"There is no recording of a simulation {pk}.")
    return recording


def recording_response(recording: Recording, kind: str) -> HttpResponse:
    """Return a recording as a file.

    Raises
    ------
    StateConflict
        If NWB cannot be written here.
    """
    from simulations.nwb import NwbError, nwb_in_own_process
    from simulations.recordings import csv_archive, unpack

    content, about = bytes(recording.content), _about(recording.probe)
    try:
        data = (
            nwb_in_own_process(content, about)
            if kind == "nwb"
            else csv_archive(unpack(content), about)
        )
    except NwbError as error:
        raise StateConflict(f"The NWB file could not be written: {error}") from None
    response = HttpResponse(data, content_type=TYPES[kind])
    response.headers["Content-Disposition"] = content_disposition_header(
        True, f"simulation-{recording.probe_id}.{kind}"
    )
    return response


def _about(probe: Probe) -> dict[str, Any]:
    """Return what a file says of the simulation that it is of."""
    return {
        "description": (
            f"One trial of the learning task {probe.learning_task_name} with the plasticity rule "
            f"{probe.rule}, seed {probe.seed}"
        ),
        "identifier": f"e2l-simulation-{probe.digest}",
        "simulated_at": probe.finished_at.isoformat(),
        "learning_task": probe.learning_task_name,
        "preset": probe.preset,
        "rule": str(probe.rule),
        "branches": dict(zip(probe.rule.branch_names, probe.rule.expressions, strict=True)),
        "seed": probe.seed,
        "trial": 0,
        "value": probe.result.get("value"),
        "parameters": probe.task_parameters,
        "software": {"simulated with": probe.result.get("engine", ""), **provenance()},
    }
