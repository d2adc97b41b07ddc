"""Checks the files of conf/, a user's own among them, before Hydra reads them.

Hydra recurses into nested values and expands every alias: a kilobyte of aliases takes hours. Its
errors on a broken header name no file.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

# Ours: the largest file has 3 kB; of 100 kB Hydra makes 3 s of work.
MAX_BYTES, MAX_DEPTH, MAX_TEXT = 100_000, 50, 4000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C's takes 1 ms for all of conf/


class ConfFileError(ValueError):
    """A file of settings that is refused; the message names it, the line and what to change."""


def check_conf(folder: Path) -> None:
    """Raises ConfFileError for a file below ``folder`` that is no YAML or too large or nested."""
    for path in sorted(folder.rglob("*.yaml")):
        if not path.is_file():
            continue
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfFileError(f"{path}: {size} bytes, at most {MAX_BYTES} are read")
        try:
            lines = path.read_text(encoding="utf-8")
            found = _in_header(lines.splitlines()) or _in_tree(lines)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfFileError(f"{path}: not YAML: {error}") from error
        if found:
            raise ConfFileError(f"{path} line {found[0]}: {found[1]}")


def _in_header(lines: Iterable[str]) -> tuple[int, str] | None:
    """Line and fault of the comments at the top, which Hydra reads as a header."""
    for number, line in enumerate(lines, 1):
        if line.strip() and not re.match(r"\s*#\s*@", line):
            return None
        if line.strip() and not re.fullmatch(r"\s*#+\s*@\S+ +\S+\s*", line):
            return number, "expected # @package and one name, such as _global_"
    return None


def _in_tree(text: str) -> tuple[int, str] | None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        fault = ""
        if isinstance(event, yaml.AliasEvent):
            fault = "an alias (*name): write what it stands for"
        elif depth > MAX_DEPTH:
            fault = f"nested deeper than {MAX_DEPTH}"
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_TEXT:
            fault = f"a text of {len(event.value)} characters"
        if fault:
            return event.start_mark.line + 1, fault
    return None
