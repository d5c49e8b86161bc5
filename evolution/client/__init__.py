"""A client of the REST API for scripts and notebooks.

It needs httpx, pandas where it returns frames, and rich for the progress bar; neither Django nor
NEST nor this site's settings::

    from evolution.client import connect

    lab = connect("https://lab.example.org", token)
    experiment = lab.launch("error-driven", seed=7, evolution_parameters={"n_generations": 50})
    experiment = lab.wait(experiment)
    frame = lab.history(experiment)
"""

from __future__ import annotations

from evolution.client.answers import (
    Experiment,
    Figure,
    Link,
    Person,
    Rule,
    Run,
    Simulation,
    Token,
    Validation,
)
from evolution.client.connection import ApiError, library
from evolution.client.experiments import Experiments
from evolution.client.laboratory import Laboratory
from evolution.client.rules import Rules

__all__ = [
    "ApiError",
    "Client",
    "Experiment",
    "Figure",
    "Link",
    "Person",
    "Rule",
    "Run",
    "Simulation",
    "Token",
    "Validation",
    "connect",
]


class Client(Experiments, Rules, Laboratory):
    """The operations of the API. Close it, or use it in a ``with`` statement."""


def connect(url: str, token: str, *, timeout_s: float = 30.0) -> Client:
    """Return a client of a site, after asking it who the token belongs to.

    Parameters
    ----------
    url : str
        Address of the site, such as ``http://127.0.0.1:8000``.
    token : str
        A personal token: made on the page of your account.

    Raises
    ------
    ApiError
        If the token is not valid (401).
    """
    httpx = library("httpx")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    base_url = f"{url.rstrip('/')}/api/v1/"
    client = Client(httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s))
    client.request("GET", "")
    return client
