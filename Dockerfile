FROM python:3.12-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/e2l
COPY . .
RUN python -m e2l_site.bootstrap worker \
    && .venv/bin/python manage.py collectstatic --noinput \
    && rm -rf var nest_build/_build/cmake

FROM python:3.12-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home e2l
# The same path as above: the environment knows where it was made.
WORKDIR /srv/e2l
COPY --from=build --chown=e2l /srv/e2l .
USER e2l
EXPOSE 8000
CMD [".venv/bin/python", "-m", "uvicorn", "e2l_site.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "off"]
