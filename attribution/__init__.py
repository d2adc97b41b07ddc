"""Attribution methods: which pixels a score rests on, and how much information they carry."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attribution.explanation import explain

__all__ = ["explain"]


def __getattr__(name: str) -> Any:
    """``explain``, with torch, when it is first asked for: a command line must compose fast."""
    if name == "explain":
        from attribution.explanation import explain

        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
