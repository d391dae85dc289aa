#!/bin/bash
# Says whether this container does what it is for; Docker asks it now and then.
set -euo pipefail

case ${OMERO_WORKER_ROLE:-node} in
    engine)
        # The engine beats in the database; a process that hangs does not.
        exec python -c '
import sys
from worker.engine.assembly import open_record
from worker.engine.beat import service_alive
with open_record() as record:
    sys.exit(0 if service_alive(record.database) else "no engine has beaten lately")'
        ;;
    *)
        # The node starts its servers with a configuration below servers/<id>; ours is Processor-0 unless told otherwise.
        server=${OMERO_WORKER_SERVER:-Processor-0}
        grep -lsq "servers/[${server:0:1}]${server:1}/" /proc/[0-9]*/cmdline || {
            echo "$server is not running"
            exit 1
        }
        ;;
esac
