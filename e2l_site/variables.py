"""The environment variables that e2l reads, described once for README and reference.

They are read where they are needed; tests compare the sources with this list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """An environment variable.

    Attributes
    ----------
    name : str
    default : str
        What holds where it is not set, as Markdown.
    meaning : str
        As Markdown, without links.
    """

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable(
        "E2L_DATA_DIR",
        "`var/`",
        "database, secret key, queue and logs; one running `make up` per directory",
    ),
    Variable(
        "E2L_WORKERS", "number of cores", "worker processes, each with a NEST kernel of its own"
    ),
    Variable(
        "E2L_WEB_PROCESSES",
        "1",
        "web server processes; each uses up to one core, and 200 to 300 MB",
    ),
    Variable(
        "DATABASE_URL", "SQLite in the data directory", "`postgresql://user:password@host/name`"
    ),
    Variable(
        "REDIS_URL",
        "a private Valkey on a unix socket",
        "`redis://host:6379/0`, `rediss://`, `unix://`",
    ),
    Variable(
        "E2L_ALLOWED_HOSTS",
        "localhost",
        "comma-separated host names under which the site is reached",
    ),
    Variable(
        "E2L_CSRF_TRUSTED_ORIGINS",
        "none",
        "comma-separated origins such as `https://lab.example.org`",
    ),
    Variable(
        "E2L_LEARNING_TASKS",
        "none",
        "comma-separated learning tasks of your own as `package.module:ClassName`, found on "
        "`PYTHONPATH`; see Add a learning task",
    ),
    Variable(
        "E2L_HTTPS",
        "0",
        "1 behind a proxy that ends TLS and sets `X-Forwarded-Proto`; plain requests are "
        "redirected",
    ),
    Variable(
        "E2L_PUBLIC",
        "0",
        "1 lets everybody read, without an account, what the laboratory may read",
    ),
    Variable("E2L_SESSION_DAYS", "14", "days after which people sign in again"),
    Variable(
        "E2L_RECORDING_DAYS",
        "90",
        "days for which all that a simulation on demand has recorded (up to 32 MB) is kept; "
        "values and plots stay, and whoever asks again has it recorded again; 0 for ever",
    ),
    Variable(
        "E2L_API_RATE_ANONYMOUS",
        "60/minute",
        "requests to the API from an address without an account; units second, minute, hour, "
        "day; 0 for any number",
    ),
    Variable("E2L_API_RATE_USER", "1200/minute", "requests to the API of a person"),
    Variable("E2L_API_RATE_SIMULATIONS", "120/hour", "simulations that a person asks the API for"),
    Variable(
        "E2L_OIDC_ISSUER",
        "none",
        "sign-in by OpenID Connect: address of the provider; see People and sharing",
    ),
    Variable("E2L_OIDC_CLIENT_ID", "none", "name of this site at the provider"),
    Variable("E2L_OIDC_CLIENT_SECRET", "none", "secret of this site at the provider"),
    Variable("E2L_OIDC_NAME", "the issuer's host", "what the button of the sign-in page says"),
    Variable("E2L_OIDC_ROLE", "viewer", "role of those who come by it first: viewer or member"),
    Variable(
        "E2L_SECRET_KEY",
        "made at the first start",
        "signs sessions; all web hosts need the same one",
    ),
    Variable(
        "E2L_TIME_LIMIT_S",
        "120",
        "shortest time in s after which a trial counts as hanging; never less than 20 times the "
        "estimate",
    ),
    Variable("E2L_DEBUG", "0", "1 shows Django's debugging pages"),
    Variable(
        "E2L_LOG_FORMAT",
        "text",
        "`json` writes one JSON object a line; both carry the ids of request, user, task, "
        "experiment, run, evaluation and probe",
    ),
    Variable(
        "E2L_LOG_LEVEL",
        "INFO",
        "`DEBUG` also tells of each request and each batch of simulations",
    ),
    Variable(
        "E2L_METRICS_TOKEN",
        "none",
        "bearer token for `/metrics`; without it only this machine may read them, and nobody "
        "where `E2L_HTTPS` is 1",
    ),
    Variable(
        "E2L_TRUSTED_PROXIES",
        "127.0.0.1",
        "comma-separated addresses or networks of proxies whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed",
    ),
    Variable(
        "E2L_VALKEY_SOCKET",
        "below the directory for temporary files",
        "socket of the private Valkey",
    ),
    Variable("E2L_CHROMIUM", "the first one in `PATH`", "browser for the browser tests"),
    Variable("CXX", "`c++`, `g++` or `clang++`", "compiler of the NEST modules"),
)
