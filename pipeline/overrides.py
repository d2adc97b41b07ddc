"""Settings on a command line: one-line errors for what Hydra cannot read, or would misread."""

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException


class OverrideError(ValueError):
    """A setting that is misspelt, of a wrong type or unreadable; one line that names it."""


def setting_types(config: type, above: str = "") -> dict[str, Any]:
    """Dotted key -> type of every setting and section below a typed tree."""
    found = {}
    for name, kind in get_type_hints(config).items():
        found[above + name] = kind
        if isinstance(kind, type) and is_dataclass(kind):
            found |= setting_types(kind, f"{above}{name}.")
    return found


def check_overrides(overrides: Sequence[str], types: dict[str, Any], sweep: bool) -> None:
    """Raises OverrideError for a text that Hydra would read as something else: ``,`` makes it a
    sweep, ``[`` a list, 2024_01 a number. ``types`` are ``setting_types``. In a ``sweep`` commas
    are allowed, but not in ``paths``."""
    parser = OverridesParser.create()
    for override in overrides:
        key, _, text = override.lstrip("+").partition("=")
        takes_text = types.get(key) in (str, str | None)
        try:
            read = parser.parse_override(override)
        except HydraException as error:
            if takes_text:
                raise OverrideError(_needs_quotes(key, text)) from error
            raise OverrideError(_not_read(override)) from error
        value = read.value()
        if read.is_sweep_override():
            arrives = sweep and not key.startswith("paths.")
        else:
            arrives = isinstance(value, str) or text.lower() == "null" or str(value) == text
        if takes_text and not override.startswith("~") and not arrives:
            raise OverrideError(_needs_quotes(key, text))


@contextmanager
def in_one_line(types: dict[str, Any]) -> Iterator[None]:
    """Turns errors of Hydra and OmegaConf into an OverrideError; ``types`` as above."""
    try:
        yield
    except OverrideParseException as error:
        raise OverrideError(_not_read(error.override)) from error
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error, HydraException) else error
        if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
            like = difflib.get_close_matches(cause.full_key, types, n=1)
            hint = f"; did you mean {like[0]}?" if like else ""
            raise OverrideError(f"{cause.full_key}: there is no such setting{hint}") from error
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            reason = str(cause).splitlines()[0]
            raise OverrideError(f"{cause.full_key}: {reason}") from error
        reason, _, _ = str(error).partition("Config search path:")
        raise OverrideError(" ".join(reason.split())) from error


def _needs_quotes(key: str, text: str) -> str:
    argument = f"{key}={QuotedString(text, Quote.single).with_quotes()}"
    # What a shell changes within its double quotes.
    changed = re.search(r"""["$`!]|\\(?!')""", argument)
    argument = shlex.quote(argument) if changed else f'"{argument}"'
    return f"{key}: this value needs two pairs of quotes: {argument}"


def _not_read(override: str) -> str:
    return f"{override}: is not key=value as Hydra reads it; texts with signs need quotes"
