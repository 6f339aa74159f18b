# Two stages: the first builds the wheel, installs it with pinned, hashed dependencies and writes down what is in it; the
# second runs it. The version of Python is the one that the lock files were made with.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY deploy/locks/build.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r build.lock
# No pip of its own: nothing is to be installed where it runs.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/tiersync \
    && /opt/build/bin/pip --python /opt/tiersync/bin/python install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/pip --python /opt/tiersync/bin/python install --no-deps --no-index /wheels/*.whl \
    && /opt/build/bin/pip --python /opt/tiersync/bin/python check \
    && mkdir /sbom
RUN /opt/build/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
        --output-reproducible --validate -o /sbom/tiersync.cdx.json

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="tiersync" \
      org.opencontainers.image.description="Keeps the secondary members of Capillary user groups in their primary's tier" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# The home is the volume's mount point: a new volume inherits its owner. The base image's pip is not wanted here.
RUN useradd --uid 10001 --user-group --home-dir /var/lib/tiersync --create-home --shell /usr/sbin/nologin tiersync \
    && python -m pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip \
    && rm -rf /usr/local/lib/python3*/ensurepip
COPY --from=build /opt/tiersync /opt/tiersync
# The bill of materials (CycloneDX), where scanners look for it.
COPY --from=build /sbom/tiersync.cdx.json /usr/share/sbom/tiersync.cdx.json
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
