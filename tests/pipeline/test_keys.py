"""Keys and seeds follow from settings and contents of files, and digests are remembered."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.keys import DigestCache, canonical_json, content_key, sample_seed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: "inf" not in repr(value))


@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_a_key_does_not_depend_on_the_order_in_which_settings_are_given(settings):
    reordered = dict(reversed(settings.items()))
    assert content_key(settings) == content_key(reordered)


def test_a_key_is_the_sha256_of_compact_sorted_json():
    assert canonical_json({"b": 1, "a": [True, None]}) == '{"a":[true,null],"b":1}'
    assert content_key({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


def test_any_changed_setting_changes_the_key():
    base = {"beta": 10.0, "tap": "block3"}
    assert len({content_key(base | change) for change in ({}, {"beta": 20.0}, {"tap": "x"})}) == 3


def test_seeds_of_samples_differ_by_seed_image_and_finding_and_fit_63_bits():
    seeds = {
        sample_seed(seed, image, finding)
        for seed in range(3)
        for image in ("a", "b", "ab")
        for finding in ("", "b", "Mass")
    }
    assert len(seeds) == 27
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_digest_is_computed_again_only_after_the_file_changed(tmp_path: Path, monkeypatch):
    file = tmp_path / "a.bin"
    file.write_bytes(b"first")
    cache = DigestCache(tmp_path / "digests.sqlite")
    first = cache.digests([file])
    assert first == [hashlib.sha256(b"first").hexdigest()]

    def forbidden(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.keys.file_sha256", forbidden)
        assert cache.digests([file]) == first
        assert DigestCache(tmp_path / "digests.sqlite").digests([file]) == first
    file.write_bytes(b"other")
    os.utime(file, ns=(1, 1))
    assert cache.digests([file]) == [hashlib.sha256(b"other").hexdigest()]


def test_digests_of_a_renamed_folder_are_kept(tmp_path: Path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_bytes(b"a")
    cache = DigestCache(tmp_path / "digests.sqlite")
    known = cache.digests([tmp_path / "old" / "a"])
    (tmp_path / "old").rename(tmp_path / "new")
    cache.moved(tmp_path / "old", tmp_path / "new")
    monkeypatch.setattr("pipeline.keys.file_sha256", lambda path: "read again")
    assert cache.digests([tmp_path / "new" / "a"]) == known


def test_files_are_read_again_when_asked_and_what_is_found_is_remembered(tmp_path: Path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"first")
    cache = DigestCache(tmp_path / "digests.sqlite")
    cache.digests([file])
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_bytes(b"other")
    os.utime(file, ns=times)
    first, other = (hashlib.sha256(content).hexdigest() for content in (b"first", b"other"))
    assert cache.digests([file]) == [first]
    assert cache.digests([file], reread=True) == [other]
    assert cache.digests([file]) == [other]


def test_a_process_may_remember_digests_while_another_digests_many_files(tmp_path: Path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    cache, other = (DigestCache(tmp_path / "digests.sqlite") for _ in range(2))
    other._database.execute("PRAGMA busy_timeout = 0")

    def meanwhile(done: int, total: int) -> None:
        other.digests([tmp_path / "c"], reread=True)

    assert len(cache.digests([tmp_path / "a", tmp_path / "b"], meanwhile)) == 2


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_cache_is_begun_anew(tmp_path: Path, damage: str):
    file = tmp_path / "digests.sqlite"
    cache = DigestCache(file)
    paths = [tmp_path / f"{number}" for number in range(200)]
    for path in paths:
        path.write_text(path.name)
    known = cache.digests(paths)
    cache.close()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"x" * len(content))
    assert DigestCache(file).digests(paths) == known
