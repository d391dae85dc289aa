# The worker: a node of OMERO.grid for Processor-0, and the engine that drives the runs; one image for both.
#
# It is the OMERO server image plus an SSH client, git and our package in the server's own virtual environment. Nothing
# of the base is overridden: the Processor forwards our environment because the *server's* property omero.process.python
# names worker.processor.process.WorkerProcess. No workflow is baked in: slurm-config.ini is mounted.
ARG BASE_IMAGE=openmicroscopy/omero-server:5.6.16
FROM ${BASE_IMAGE}

USER root
ENV VIRTUAL_ENV=/opt/omero/server/venv3 \
    OMERODIR=/opt/omero/server/OMERO.server \
    OMERO_WORKER_STATE_DIR=/var/lib/omero-worker
ENV PATH=${VIRTUAL_ENV}/bin:${PATH}

RUN set -eux; \
    if command -v dnf >/dev/null; then \
        dnf install -y --setopt=install_weak_deps=False openssh-clients git findutils; \
        dnf clean all; \
    elif command -v yum >/dev/null; then \
        yum install -y openssh-clients git findutils; \
        yum clean all; \
    else \
        apt-get update; \
        apt-get install -y --no-install-recommends openssh-client git; \
        rm -rf /var/lib/apt/lists/*; \
    fi

# Ice comes with the base, compiled for it; without it pip would have to compile for minutes, and here it fails instead.
COPY requirements.lock /tmp/omero-worker/
RUN python -m pip install --no-cache-dir --only-binary zeroc-ice --require-hashes -r /tmp/omero-worker/requirements.lock

COPY pyproject.toml README.md /tmp/omero-worker/
COPY worker /tmp/omero-worker/worker
RUN set -eux; \
    python -m pip install --no-cache-dir --no-deps /tmp/omero-worker; \
    rm -rf /tmp/omero-worker; \
    cd /; \
    python -c 'import biomero, worker.processor.process, worker.cli.main'

COPY config/omero/ice.config ${OMERODIR}/etc/templates/ice.config
COPY startup/health.sh /usr/local/bin/omero-worker-health
COPY startup/10-mount-ssh.sh startup/99-run.sh /startup/
RUN set -eux; \
    chmod 0755 /startup/10-mount-ssh.sh /startup/99-run.sh /usr/local/bin/omero-worker-health; \
    rm -f /startup/60-database.sh; \
    mkdir -p "$OMERO_WORKER_STATE_DIR"; \
    chown omero-server "$OMERO_WORKER_STATE_DIR"

USER omero-server
VOLUME ["/var/lib/omero-worker"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 CMD ["/usr/local/bin/omero-worker-health"]
