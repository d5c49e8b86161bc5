"""People and programs that use a site all at once, for the bench.

:mod:`tests.load.site` runs the processes of an installation, :mod:`tests.load.guests` gives it
accounts, sessions, tokens and experiments, and :mod:`tests.load.crowd` is the one light process
that asks for pages as browsers and clients of the API do.
"""
