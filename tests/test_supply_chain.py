"""What is installed: locked by hash, under licences that were read."""

import re
from pathlib import Path

import pytest

from tests import licences

ROOT = Path(__file__).resolve().parents[1]
# GPL; two names of a package that had malicious releases and that nothing needs any more.
NEVER = ("pylibjpeg-libjpeg", "pytorch-lightning", "lightning")


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_every_locked_package_has_one_version_and_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = re.findall(
        r"^(\S+?)==(\S+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", text, re.M
    )
    assert len(blocks) == len(licences.PIN.findall(text)) > 0
    assert "://" not in text
    assert not re.search(r"^(-|[^#\s]+ @)", text, re.MULTILINE)


def test_what_must_stay_out_is_in_no_lock() -> None:
    pinned = licences.pinned()
    assert pinned
    assert not set(NEVER) & set(pinned)


def test_the_table_of_licences_is_that_of_the_locks() -> None:
    assert licences.table() == licences.TABLE.read_text(encoding="utf-8"), (
        "run python -m tests.licences"
    )


def test_nothing_under_the_gpl_is_in_the_core_and_zennit_stays_before_it_became_gpl() -> None:
    for name, (versions, extra) in licences.pinned().items():
        found = licences.licence(name)
        assert not re.search(r"\bA?GPL", found), name
        assert extra or "LGPL" not in found, name
        if name == "zennit":
            assert versions == ["0.5.1"]


def test_a_licence_that_nobody_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "distribution", lambda _: type("D", (), {"metadata": Told()}))
    with pytest.raises(LookupError, match=r"somewhere: .*AGPL"):
        licences.licence("somewhere")


class Told(dict):
    def get(self, name: str, default: object = None) -> object:
        return "AGPL-3.0" if name == "License" else default

    def get_all(self, _name: str) -> list[str]:
        return []
