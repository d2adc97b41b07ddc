"""Where a result comes from: code, versions, machine. No path of the machine is recorded."""

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.keys import content_key, file_sha256

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = (
    *("torch", "torchvision", "numpy", "pandas", "scikit-learn", "hydra-core", "omegaconf"),
    *("captum", "safetensors", "opencv-python-headless", "pillow"),
)


@cache
def provenance() -> dict[str, Any]:
    """Git commit and dirty flag, package versions, hardware; the same for a whole process."""
    return {
        "git": {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "hardware": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "accelerator": _accelerator(),
        },
    }


def without_folders(settings: Any) -> Any:
    """Settings (plain JSON) with every absolute path cut to its last part, for where a user's
    folders lie is private."""
    if isinstance(settings, dict):
        return {key: without_folders(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [without_folders(value) for value in settings]
    if isinstance(settings, str) and Path(settings).expanduser().is_absolute():
        return Path(settings).name
    return settings


@cache
def code_digest(sources: tuple[str, ...]) -> str:
    """Digest of the project files (folders are walked) that a step's result was computed by."""
    files: list[Path] = []
    for source in sources:
        path = ROOT / source
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return content_key([(str(path.relative_to(ROOT)), file_sha256(path)) for path in files])


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # a source archive without git; the manifest then says null
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _accelerator() -> str | None:
    torch = sys.modules.get("torch")  # asking must not cost the import
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return None
