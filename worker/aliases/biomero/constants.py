"""Names of scripts, fields and states where ``from biomero.constants import …`` looks for them."""

from worker.facade.constants import (
    CONVERSION_SCRIPT,
    FILE_TRANSFER_SCRIPT,
    IMAGE_EXPORT_SCRIPT,
    IMAGE_IMPORT_SCRIPT,
    RUN_WF_BATCHED_SCRIPT,
    RUN_WF_SCRIPT,
    conversion,
    file_transfer,
    transfer,
    workflow,
    workflow_batched,
    workflow_status,
)

__all__ = [
    "CONVERSION_SCRIPT",
    "FILE_TRANSFER_SCRIPT",
    "IMAGE_EXPORT_SCRIPT",
    "IMAGE_IMPORT_SCRIPT",
    "RUN_WF_BATCHED_SCRIPT",
    "RUN_WF_SCRIPT",
    "conversion",
    "file_transfer",
    "transfer",
    "workflow",
    "workflow_batched",
    "workflow_status",
]
