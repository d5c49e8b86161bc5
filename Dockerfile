# One image for web, workers, sweeper and migrations; see docs/how_to/run_in_production.md.
FROM python:3.12.11-slim-bookworm AS build
# Debian's security updates are wanted, whatever their version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/e2l
# What changes rarely comes first: packages and modules are made anew only when they have to be.
COPY requirements.txt ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.txt
COPY nest_build nest_build
RUN .venv/bin/python -m nest_build build \
    && rm -rf nest_build/_build/cmake
COPY . .
# Nothing can be written next to the code later on: it is compiled now.
RUN E2L_DATA_DIR=/tmp/e2l .venv/bin/python manage.py collectstatic --noinput \
    && .venv/bin/python -m compileall -q e2l_site evolution simulations nest_build manage.py

FROM python:3.12.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/e2l --shell /usr/sbin/nologin e2l \
    && install --directory --owner=e2l --group=e2l --mode=700 /var/lib/e2l
# The same path as above: the environment knows where it was made. It stays root's.
WORKDIR /srv/e2l
COPY --from=build /srv/e2l .
ENV E2L_DATA_DIR=/var/lib/e2l \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
CMD [".venv/bin/python", "-m", "e2l_site.launcher", "--web-only", "--host", "0.0.0.0", "--port", "8000"]
