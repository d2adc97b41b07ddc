"""``python -m tests.campaigns.equal_tables BEFORE AFTER``: have two runs the same tables?

For a change of the code that must change no result. Every ``tables/*.csv`` of the two run folders
is compared byte by byte; the exit code is 1 if a table of BEFORE is missing or differs.
"""

import argparse
from pathlib import Path


def tables(run: Path) -> dict[str, bytes]:
    """Name and content of each; a ValueError where there is none, for then nothing is compared."""
    found = {path.name: path.read_bytes() for path in sorted((run / "tables").glob("*.csv"))}
    if not found:
        raise ValueError(f"{run} has no tables/*.csv: name the folder of a run, as outputs/latest")
    return found


def first_difference(one: bytes, other: bytes) -> int:
    """The line, counted from 1, in which two contents differ first."""
    lines, others = one.splitlines(keepends=True), other.splitlines(keepends=True)
    equal = (a == b for a, b in zip(lines, others, strict=False))
    return next(
        (n for n, same in enumerate(equal, 1) if not same), min(len(lines), len(others)) + 1
    )


def compare(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """A line for each table of ``before`` that is missing or differs."""
    return [
        f"missing: {name}"
        if name not in after
        else f"differs: {name}, from line {first_difference(content, after[name])}"
        for name, content in before.items()
        if after.get(name) != content
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compares the tables of two runs byte by byte.")
    parser.add_argument("before", type=Path, help="folder of a run")
    parser.add_argument("after", type=Path, help="folder of a run")
    asked = parser.parse_args(arguments)
    try:
        before, after = tables(asked.before), tables(asked.after)
    except ValueError as error:
        print(f"error: {error}")
        return 1
    faults = compare(before, after)
    for line in [*faults, *(f"added: {name}" for name in after if name not in before)]:
        print(line)
    print(f"{len(before) - len(faults)} of {len(before)} tables are equal")
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
