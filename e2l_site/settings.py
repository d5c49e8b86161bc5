"""Settings of the site: defaults for one machine, environment variables for everything else.

``E2L_DATA_DIR`` (run-time data), ``DATABASE_URL``, ``REDIS_URL``, ``E2L_SECRET_KEY``,
``E2L_DEBUG``, ``E2L_ALLOWED_HOSTS``, ``E2L_CSRF_TRUSTED_ORIGINS``, ``E2L_HTTPS``, ``E2L_PUBLIC``,
``E2L_SESSION_DAYS``, ``E2L_API_RATE_*``, ``E2L_OIDC_*``, ``E2L_LOG_FORMAT``, ``E2L_LOG_LEVEL``
and ``E2L_METRICS_TOKEN`` are read here.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from datetime import timedelta
from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from e2l_site import broker, logs
from e2l_site.environment import (
    read_bool,
    read_choice,
    read_database,
    read_list,
    read_number,
    read_oidc,
    read_origins,
    read_rate,
    read_redis_url,
    read_secret_key,
    read_token,
)
from e2l_site.locations import PROJECT_ROOT, data_directory
from evolution.converters import CONVERTERS

DATA_DIR = data_directory()
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = read_bool("E2L_DEBUG", default=False)
SECRET_KEY = read_secret_key(DATA_DIR / "secret_key")
ALLOWED_HOSTS = read_list("E2L_ALLOWED_HOSTS", default=("localhost", "127.0.0.1", "[::1]"))

# --- applications ------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "e2l_site.apps.SiteConfig",
    "e2l_site.apps.StaticFilesConfig",
    "axes",
    "csp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "evolution",
]

MIDDLEWARE = [
    "e2l_site.logs.RequestIds",
    "e2l_site.monitoring.Monitoring",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "e2l_site.middleware.ErrorPages",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "e2l_site.middleware.RequestAddress",
    "e2l_site.middleware.SignInRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "e2l_site.urls"
ASGI_APPLICATION = "e2l_site.asgi.application"
WSGI_APPLICATION = "e2l_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT_ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "evolution.views.context.permissions",
            ],
        },
    }
]

# --- database, cache of tasks and messages -----------------------------------------------------

DATABASES = {
    "default": read_database(
        default_path=DATA_DIR / "db.sqlite3",
        # One file per test process: test runs beside each other do not meet.
        test_path=Path(tempfile.gettempdir()) / f"e2l-test-{os.getpid()}.sqlite3",
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # What all processes on all hosts count together.
    "shared": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": read_redis_url(broker.redis_url()),
        "KEY_PREFIX": "e2l",
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    },
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [read_redis_url(broker.redis_url())], "prefix": "e2l"},
    }
}

CELERY_BROKER_URL = broker.broker_url()
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than twice the longest task: a message that is delivered again while its task still
    # runs goes to the head of the queue and starves the rest.
    "visibility_timeout": 3600,
    # kombu looks for lost messages every interval * throttle seconds; its default is 100 s.
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 1000,
    # Whoever sends does not wait for a broker that is away: what was lost is sent again later.
    "max_retries": 1,
    "interval_start": 0.0,
    "interval_step": 0.1,
    "interval_max": 0.1,
    "socket_connect_timeout": 2.0,
    "socket_timeout": 5.0,
    "socket_keepalive": True,
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
# Acknowledge when done: the message of a killed worker is delivered again.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = "UTC"

# --- people ------------------------------------------------------------------------------------

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "evolution:experiments"
LOGOUT_REDIRECT_URL = "sign-in"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "e2l_site.backends.Accounts"]
_validation = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_validation}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_validation}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_validation}.CommonPasswordValidator"},
    {"NAME": f"{_validation}.NumericPasswordValidator"},
]
#: Life of a link with which somebody sets a password, in s.
PASSWORD_RESET_TIMEOUT = 3 * 24 * 3600
SESSION_ENGINE = "e2l_site.sessions"
SESSION_COOKIE_AGE = (
    24 * 3600 * read_number("E2L_SESSION_DAYS", default=14, smallest=1, largest=365)
)
#: Days for which all that a simulation on demand has recorded is kept; 0 for ever.
E2L_RECORDING_DAYS = read_number("E2L_RECORDING_DAYS", default=90, smallest=0, largest=36500)
#: Visitors may read what the laboratory may read.
E2L_PUBLIC = read_bool("E2L_PUBLIC", default=False)

# Who types a wrong password ten times waits: the pair of name and address is locked, so that
# nobody can lock out somebody else. Counted in the database.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "e2l_site.errors.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True  # the audit log has it
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False


#: Sign-in by OpenID Connect, None without it: then nothing of it is loaded.
OIDC = read_oidc()
if OIDC is not None:
    INSTALLED_APPS += [
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.openid_connect",
    ]
    MIDDLEWARE.insert(-1, "allauth.account.middleware.AccountMiddleware")
    SOCIALACCOUNT_ONLY = True
    SOCIALACCOUNT_ADAPTER = "e2l_site.oidc.SocialAccountAdapter"
    ACCOUNT_EMAIL_VERIFICATION = "none"
    SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "laboratory",
                    "name": OIDC["name"],
                    "client_id": OIDC["client_id"],
                    "secret": OIDC["client_secret"],
                    "settings": {"server_url": OIDC["issuer"]},
                }
            ],
        }
    }

# --- security ----------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "connect-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "data:"],
        # Pages with figures have a nonce for the <style> elements of BokehJS (style-nonce.js).
        "style-src": [SELF, NONCE],
        "base-uri": [NONE],
        # The button that leads to the provider is a form whose answer is a redirection.
        "form-action": [SELF] if OIDC is None else [SELF, OIDC["origin"]],
        "frame-ancestors": [NONE],
    }
}

# Cookies do not tell ports apart: names of our own keep other local servers' sessions alive.
SESSION_COOKIE_NAME = "e2l_session"
CSRF_COOKIE_NAME = "e2l_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "e2l_site.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = read_origins("E2L_CSRF_TRUSTED_ORIGINS")
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# No form here has more; whoever takes files says so at the view.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
DATA_UPLOAD_MAX_NUMBER_FILES = 4

if read_bool("E2L_HTTPS", default=False):
    # Behind a proxy that ends TLS and sets this header itself.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    # Browsers' built-in lists take whole domains, of which a laboratory has a part.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]

# --- API -----------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "evolution.api.problems.handle",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "e2l",
    "DESCRIPTION": "Discover synaptic plasticity rules: launch and control experiments, read what "
    "they find, simulate any rule. A fitness of null is minus infinity.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        name: f"evolution.enums.{name}"
        for name in (
            "Action", "ExperimentState", "StopReason", "Visibility", "Origin", "Outcome", "Role",
            "Scope", "ProbeKind", "ProbeState", "ValidationKind", "ValidationState",
        )
    },
    "PATH_CONVERTER_OVERRIDES": {
        name: {"type": "integer", "minimum": 0, "maximum": converter.largest}
        for name, converter in CONVERTERS.items()
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "evolution.api.schema.complete",
    ],
}  # fmt: skip
#: Requests and the time in s that they are counted in, None for any number.
API_RATES = {
    "anonymous": read_rate("E2L_API_RATE_ANONYMOUS", default="60/minute"),
    "user": read_rate("E2L_API_RATE_USER", default="1200/minute"),
    "simulations": read_rate("E2L_API_RATE_SIMULATIONS", default="120/hour"),
}

# --- static files ------------------------------------------------------------------------------


def _bokehjs_directory() -> Path:
    # Found without importing bokeh, which would cost every process more than a second.
    spec = importlib.util.find_spec("bokeh")
    if spec is None or spec.origin is None:
        raise ImproperlyConfigured("The package bokeh is not installed.")
    return Path(spec.origin).parent / "server" / "static" / "js"


STATIC_URL = "static/"
STATIC_ROOT = PROJECT_ROOT / "staticfiles"
STATICFILES_DIRS = [PROJECT_ROOT / "static", ("bokeh", _bokehjs_directory())]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "e2l_site.static_files.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG

# --- language, time, log -----------------------------------------------------------------------

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

LOGGING = logs.configuration(
    as_json=read_choice("E2L_LOG_FORMAT", ("text", "json")) == "json",
    level=read_choice("E2L_LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
)
#: Whoever knows it may read /metrics; without it only this machine may.
METRICS_TOKEN = read_token("E2L_METRICS_TOKEN")
