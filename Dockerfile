# The probe as an image: `probe run` as an unprivileged user, with a root file system that may be read-only.
#
# - Wheels are made once, in stages of their own, from files whose hashes are known (deploy/*.lock, by `make lock`); the
#   image holds what was installed from them, and neither pip nor a compiler.
# - Python 3.13 on Debian 13: both are the current stable branch with security support until 2028 and later, while Debian
#   12's regular support is over. BASE takes a digest: --build-arg BASE=docker.io/library/python:3.13-slim-trixie@sha256:…
# - Where packages do not come from PyPI: --secret id=pip.conf,src=FILE; the file is seen by pip alone and not kept.
#
# docs/install.md says how to build and run it.

ARG BASE=docker.io/library/python:3.13-slim-trixie


FROM ${BASE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/mailprobe
COPY deploy/requirements.lock deploy/build.lock /src/deploy/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/build/bin/pip wheel --quiet --require-hashes --wheel-dir /wheels -r /src/deploy/requirements.lock \
    && /opt/build/bin/pip install --quiet --require-hashes -r /src/deploy/build.lock
RUN /opt/build/bin/pip --python /opt/mailprobe/bin/python install --quiet --no-index --no-deps /wheels/*.whl


FROM dependencies AS application
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY probe probe
# Into a tree of its own, so that a new version of the probe is a small layer on the same dependencies.
RUN /opt/build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/build/bin/pip --python /opt/mailprobe/bin/python install --quiet --no-index --no-deps --prefix /opt/application \
        /wheel/*.whl \
    && PYTHONPATH="$(echo /opt/application/lib/python3*/site-packages)" \
        /opt/build/bin/pip --python /opt/mailprobe/bin/python check


FROM ${BASE}
# The base has pip, but no compiled standard library, and on a read-only root each start would compile it again: so the
# modules that a start needs are compiled here.
COPY --from=dependencies /opt/mailprobe /opt/mailprobe
COPY --from=application /opt/application /opt/mailprobe
COPY --chmod=0755 deploy/image/healthy.py /opt/mailprobe/bin/healthy
ENV PATH=/opt/mailprobe/bin:$PATH PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 mailprobe \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/mailprobe --no-create-home --shell /usr/sbin/nologin mailprobe \
    && install -d /etc/mailprobe && install -d -o 10001 -g 10001 -m 0770 /var/lib/mailprobe \
    && find / -xdev \( -path '*/site-packages/pip' -o -path '*/site-packages/pip-*' -o -path '*/ensurepip' \
        -o -path '/usr/share/python-wheels' -o -path '/usr/local/bin/pip*' -o -path '/usr/local/bin/idle*' \) \
        -prune -exec rm -rf {} + \
    && python3 -c 'import lightkube, probe.cli, probe.service.run, probe.service.once, probe.settings' \
    && python3 -c 'import runpy; runpy.run_path("/opt/mailprobe/bin/healthy")'
ENV PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /etc/mailprobe
EXPOSE 9797
# By $MAILPROBE_HEALTH_URL, default http://127.0.0.1:9797/-/healthy; standard library only, since it runs twice a minute.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["healthy"]
ENTRYPOINT ["probe"]
CMD ["run"]

ARG BASE
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="mailprobe" \
      org.opencontainers.image.description="Proves whether the client's real address survives the way into a mail server" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-3.0-only" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
