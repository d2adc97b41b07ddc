"""Recognises a full disk among failures: what is full, and what to do."""

import errno
import os
import re
import shutil
from pathlib import Path

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# numpy, safetensors and sqlite pass no error number on.
_TEXTS = re.compile(
    rf"\d+ requested and \d+ written|os error ({'|'.join(map(str, _NUMBERS))})\b"
    r"|database or disk is full|disk I/O error"
)


class FullDiskError(RuntimeError):
    """The message of ``disk_trouble`` from another process."""


def disk_trouble(error: BaseException, folder: Path) -> str | None:
    """The message for a full disk, a quota that is used up or a limit on file sizes.

    None where ``error`` and its causes are something else.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FullDiskError):
            return str(cause)
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _NUMBERS or _TEXTS.search(str(cause)):
            reason = os.strerror(number) if number else str(cause)
            free = shutil.disk_usage(folder).free / 2**30
            return (
                f"cannot write to the disk of {folder}, which has {free:.1f} GiB free ({reason});"
                " make room there (python -m pipeline.store --prune) or choose another disk by"
                " paths.outputs. What is finished is kept: the same command goes on"
            )
        cause = cause.__cause__ or cause.__context__
    return None
