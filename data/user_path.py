"""Paths as users write them."""

from pathlib import Path


def user_path(text: str) -> Path:
    """``~`` and ``~name`` at the front are home folders.

    Raises ValueError for an unknown name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{text}: no home folder is known by this name; ./{text} is one called so"
        ) from error
