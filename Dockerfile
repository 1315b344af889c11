# One image for API, worker and migrations: `docker build -t staging-api .`
#
#   docker run ... staging-api api | worker | migrate
#
# Both stages start from the same Debian Python; a release names its digest:
# --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/staging-api
COPY constraints.txt setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY staging_api staging_api
COPY migrations migrations
RUN /opt/staging-api/bin/pip install --constraint constraints.txt '.[server,deflate64,keystone,otel]'
RUN /opt/staging-api/bin/python -m compileall -q /opt/staging-api/lib

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="staging-api" \
      org.opencontainers.image.description="Stage a build's artifacts exactly once, however many pods and clients ask" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
# What signs APT archives.
RUN apt-get update && apt-get install -y --no-install-recommends gpg gpg-agent gpgconf \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 staging \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/staging-api --shell /usr/sbin/nologin staging \
    && install -d -o staging -g staging /var/lib/staging-api /srv/staging
COPY --from=build /opt/staging-api /opt/staging-api
ENV PATH=/opt/staging-api/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STAGING_HOME=/var/lib/staging-api \
    STAGING_STORE=file:///srv/staging \
    STAGING_LOG_FORMAT=json \
    STAGING_BIND=0.0.0.0:8080 \
    STAGING_WORKER_BIND=0.0.0.0:8081
USER 10001:10001
WORKDIR /var/lib/staging-api
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Asks whichever of the two runs here; Kubernetes has probes of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen as ask\ntry: ask('http://127.0.0.1:8080/livez', timeout=4)\nexcept OSError: ask('http://127.0.0.1:8081/livez', timeout=4)"]
ENTRYPOINT ["staging-api"]
CMD ["api"]
