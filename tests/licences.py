"""``python -m tests.licences``: writes ``docs/licences.md`` from the metadata of what is installed.

Fails for a licence that is on none of the lists below: somebody has to read it.
"""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "licences.md"
LOCKS = {  # and the extra that each belongs to; the core's first
    path.name: path.stem.removeprefix("requirements").removeprefix("-")
    for path in (ROOT / "requirements.lock", *sorted(ROOT.glob("requirements-*.lock")))
}
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
# What the metadata lacks, or what is not installed everywhere: read on the project's own page.
READ_BY_HAND = {
    "colorama": "BSD-3-Clause",  # Windows only
    "cuda-toolkit": "NVIDIA proprietary",  # names the packages below, holds nothing
    "nvidia-nvtx": "Apache-2.0",  # its classifier says proprietary, its licence file does not
    "zennit": "LGPL-3.0-or-later",
}
SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "python software foundation license": "PSF-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "licenseref-nvidia-proprietary": "NVIDIA proprietary",
    "nvidia proprietary software": "NVIDIA proprietary",
}
KINDS = {
    "permissive": {
        *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause"),
        *("BSL-1.0", "CC0-1.0", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
    },
    "by file (changes to its own files stay open)": {"MPL-2.0"},
    "by library (LGPL; optional, never imported by the core)": {"LGPL-3.0-or-later"},
    "free of charge, under NVIDIA's terms; CUDA machines only": {"NVIDIA proprietary"},
}
HEADER = """# Licences of the dependencies

Written by `python -m tests.licences` from the packages' own metadata; a test keeps it equal to the
lock files. This project is under the MIT licence. Nothing here is under the GPL or the AGPL.

Wheels bundle libraries that their metadata does not name: opencv-python-headless FFmpeg (LGPL-2.1,
linked dynamically, never called here); numpy, scipy, scikit-learn and opencv-python-headless GNU's
Fortran and OpenMP runtimes (GPL-3.0 with the runtime exception, which leaves the programs that use
them free) and libquadmath (LGPL); opencv-python-headless and python-gdcm OpenSSL 1.1.1 (OpenSSL and
SSLeay licences, permissive with an acknowledgement); playwright, which only tests use, a driver of
Node.js 26 (MIT; what it bundles is in its `driver/LICENSE`). segmentation-models-pytorch is no
dependency: the lung network is the project's own (`models/lung_unet.py`).

| package | version | licence | kind | extra |
|---|---|---|---|---|
"""


def pinned() -> dict[str, tuple[list[str], str]]:
    """Package -> its versions in the locks, and the extra that it belongs to ("" for the core)."""
    found: dict[str, tuple[list[str], str]] = {}
    for lock, extra in LOCKS.items():
        for name, version in PIN.findall((ROOT / lock).read_text(encoding="utf-8")):
            versions, _ = found.setdefault(name, ([], extra))
            if version not in versions:
                versions.append(version)
    return dict(sorted(found.items()))


def licence(name: str) -> str:
    """In SPDX's spelling; of an extra that is not installed here, what the table says of that
    version. LookupError where neither names one."""
    if name in READ_BY_HAND:
        return READ_BY_HAND[name]
    try:
        about = distribution(name).metadata
    except PackageNotFoundError:
        versions, extra = pinned()[name]
        if extra and (", ".join(versions), extra) == _written(name)[::2]:
            return _written(name)[1]
        raise LookupError(f"{name} is not installed: read its licence, add it above") from None
    classes = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if "License ::" in c]
    short = (about.get("License") or "").strip().splitlines()[:1]
    for said in (about.get("License-Expression"), *short, *classes):
        if said and all(kind(part) for part in parts(said)):
            return SPELLINGS.get(said.lower(), said)
    raise LookupError(f"{name}: {short or classes} is on no list: read it, add it above")


def _written(name: str) -> tuple[str, str, str]:
    """Version, licence and extra in the table as it is; empty for a package that it has not."""
    row = rf"^\| {re.escape(name)} \| ([^|]*) \| ([^|]*) \| [^|]* \| ([^|]*?) ?\|$"
    found = re.search(row, TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return (found[1], found[2], found[3]) if found else ("", "", "")


def parts(expression: str) -> list[str]:
    """The licences of an expression of several, each in SPDX's spelling."""
    each = re.split(r" (?:AND|OR) ", expression)
    return [SPELLINGS.get(part.lower(), part) for part in each]


def kind(part: str) -> str:
    """Which of ``KINDS`` a licence is, "" for none."""
    return next((name for name, licences in KINDS.items() if part in licences), "")


def table() -> str:
    rows = []
    for name, (versions, extra) in pinned().items():
        found = licence(name)
        kinds = "; ".join(dict.fromkeys(kind(part) for part in parts(found)))
        rows.append(f"| {name} | {', '.join(versions)} | {found} | {kinds} | {extra} |")
    return HEADER + "\n".join([*rows, ""])


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
