# A local stand-in for openmicroscopy/omero-server: the same user, folders, entry point and `omero` command, with
# Debian's icegridnode and Python, and without the Java server.
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE}

RUN set -eux; \
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; \
    chmod 755 /usr/sbin/policy-rc.d; \
    apt-get update; \
    apt-get install -y --no-install-recommends ca-certificates dumb-init python3 python3-venv zeroc-icegrid; \
    rm -rf /var/lib/apt/lists/*

RUN set -eux; \
    groupadd --gid 1000 omero-server; \
    useradd --uid 1000 --gid 1000 --home-dir /opt/omero/server --create-home --shell /bin/bash omero-server; \
    mkdir -p /OMERO /startup /opt/omero/server/OMERO.server/bin \
        /opt/omero/server/OMERO.server/etc/grid /opt/omero/server/OMERO.server/lib/scripts \
        /opt/omero/server/OMERO.server/var; \
    ln -s /usr/bin/dumb-init /usr/local/bin/dumb-init

# Older than what the lock asks for, as the real base is older than any release of ours.
ARG OMERO_PY=5.22.*
COPY wheels /tmp/wheels
RUN set -eux; \
    python3 -m venv /opt/omero/server/venv3; \
    /opt/omero/server/venv3/bin/python -m pip install --no-cache-dir /tmp/wheels/*.whl "omero-py==$OMERO_PY"; \
    rm -rf /tmp/wheels

COPY templates /opt/omero/server/OMERO.server/etc/templates
COPY omero.properties /opt/omero/server/OMERO.server/etc/omero.properties
COPY config /opt/omero/server/config
COPY entrypoint.sh /usr/local/bin/entrypoint.sh
COPY startup /startup
RUN set -eux; \
    ln -s /opt/omero/server/venv3/bin/omero /opt/omero/server/OMERO.server/bin/omero; \
    chmod 755 /usr/local/bin/entrypoint.sh /startup/*; \
    chown -R omero-server:omero-server /OMERO /opt/omero/server

ENV OMERODIR=/opt/omero/server/OMERO.server/
USER omero-server
EXPOSE 4063 4064
VOLUME ["/OMERO", "/opt/omero/server/OMERO.server/var"]
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
