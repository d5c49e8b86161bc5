"""Configuration of the site's own pieces."""

from django.apps import AppConfig
from django.contrib.staticfiles.apps import StaticFilesConfig as DjangoStaticFilesConfig


class SiteConfig(AppConfig):
    """The site itself."""

    name = "e2l_site"

    def ready(self) -> None:
        """Listen to sign-ins, and make the Celery application known to every thread.

        Celery notes the current application per thread. Requests are served in threads that did
        not create it, and would otherwise queue tasks with an unconfigured one.
        """
        from e2l_site import sign_in_log  # noqa: F401
        from e2l_site.celery import app

        app.set_default()


class StaticFilesConfig(DjangoStaticFilesConfig):
    """Static files without those of BokehJS that no page loads.

    Of its 726 files pages load the minified bundles; ``lib`` and the compiler are for bundlers.
    """

    ignore_patterns = [
        *DjangoStaticFilesConfig.ignore_patterns,
        "lib",
        "compiler.js",
        "bokeh.js",
        "bokeh-*[!n].js",  # not *.min.js
    ]
