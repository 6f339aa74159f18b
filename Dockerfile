# Two stages: the first builds the wheel and installs it with pinned, hashed dependencies; the second runs it.
# The version of Python is the one that the lock files were made with.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv /opt/tiersync && /opt/tiersync/bin/pip install --require-hashes -r requirements.lock
# The build tools come from the lock too: hatchling with what it needs, and nothing else of the file.
RUN awk '/^[a-z0-9]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' \
        requirements-dev.lock > requirements-build.lock \
    && python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/tiersync/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/tiersync/bin/pip check

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="tiersync" \
      org.opencontainers.image.description="Keeps the secondary members of Capillary user groups in their primary's tier" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# The home is the volume's mount point: a new volume inherits its owner.
RUN useradd --uid 10001 --user-group --home-dir /var/lib/tiersync --create-home --shell /usr/sbin/nologin tiersync
COPY --from=build /opt/tiersync /opt/tiersync
# Nothing but the volume is written, so the root file system may be read-only (then give it a tmpfs at /tmp).
ENV PATH=/opt/tiersync/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TIERSYNC_HOST=0.0.0.0 \
    TIERSYNC_PORT=8080 \
    TIERSYNC_DATABASE_URL=sqlite:////var/lib/tiersync/tiersync.db
USER 10001:10001
WORKDIR /var/lib/tiersync
VOLUME /var/lib/tiersync
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['TIERSYNC_PORT'] + '/readyz', timeout=4)"]
ENTRYPOINT ["tiersync"]
CMD ["serve"]
