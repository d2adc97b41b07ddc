"""A full disk, told from other failures: what was full, and what to do."""

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
    """What ``disk_trouble`` tells, where another process met it."""


def disk_trouble(error: BaseException, folder: Path) -> str | None:
    """What to tell a user whose disk is full, whose quota is used up or whose files may not grow.

    None where ``error``, and what it was raised from, has another cause.
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
