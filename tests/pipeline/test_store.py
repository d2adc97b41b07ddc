"""Artifacts are published whole, found by key, checked and locked."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from pipeline.keys import content_key
from pipeline.store import (
    MANIFEST,
    RESUME,
    BrokenArtifactError,
    LockedError,
    Store,
    outputs_above,
    remove,
    write_json,
)

KEY = content_key("an artifact")
MADE = {"key_parts": {}, "label": "", "code": "", "notes": [], "seconds": 0.0, "provenance": {}}


def publish(store: Store, content: bytes = b"content") -> Path:
    workspace = store.workspace("step", KEY)
    (workspace / "sub").mkdir()
    (workspace / "sub" / "file.bin").write_bytes(content)
    return store.publish("step", KEY, MADE).folder


def test_a_published_artifact_is_found_with_what_its_manifest_was_given(tmp_path):
    store = Store(tmp_path)
    folder = publish(store)
    found = Store(tmp_path).find("step", KEY)
    assert found is not None
    assert found.folder == folder
    assert found.manifest["notes"] == []
    assert list(found.manifest["files"]) == ["sub/file.bin"]
    assert found.manifest["bytes"] == len(b"content")


def test_a_folder_is_named_by_the_first_24_digits_of_the_key_below_a_root_that_is_made(tmp_path):
    root = tmp_path / "outputs" / "store"
    assert publish(Store(root)) == root / "step" / KEY[:24]


def test_artifacts_are_listed_newest_first_and_broken_ones_as_folders_only(tmp_path):
    store = Store(tmp_path)
    folders = []
    for number in range(4):
        key = content_key(number)
        (store.workspace("step", key) / "file").write_bytes(b"content")
        folders.append(store.publish("step", key, MADE).folder)
    for number, folder in enumerate(folders):
        os.utime(folder / MANIFEST, (number % 3, number % 3))  # the last as old as the first
    (folders[3] / MANIFEST).write_text("{")
    assert [each.folder for each in store.artifacts()] == [folders[2], folders[1], folders[0]]
    assert store.folders() == sorted(folders)
    assert store.workspaces() == []
    workspace = store.workspace("other", KEY)
    assert store.workspaces() == [workspace]


def test_a_workspace_beside_a_published_artifact_is_left_and_so_is_the_artifact(tmp_path):
    store = Store(tmp_path)
    folder = publish(store)
    made = (folder / "sub" / "file.bin").stat().st_ino
    write_json(store.workspace("step", KEY) / MANIFEST, {})
    store.finish_publishing("step", KEY)
    assert (folder / "sub" / "file.bin").stat().st_ino == made
    assert store.find("step", KEY) is not None
    assert store.workspaces() == [folder.with_suffix(".partial")]
    store.discard("step", KEY)
    assert store.find("step", KEY) is None


def test_json_is_sorted_and_whole_or_the_file_before(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"b": 1, "a": [2]})
    assert path.read_bytes() == b'{\n "a": [\n  2\n ],\n "b": 1\n}\n'
    for wrong, error in (({"c": float("nan")}, ValueError), ({"c": {1}}, TypeError)):
        with pytest.raises(error):
            write_json(path, wrong)
        assert json.loads(path.read_text()) == {"a": [2], "b": 1}


def test_json_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    path, flushed = tmp_path / "run.json", []

    def fsync(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(path, {"a": 1})
    assert flushed == [(path.stat().st_size, False)]


def test_what_is_removed_is_the_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("link", "absent"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    remove(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_the_outputs_of_a_run_are_the_nearest_folder_above_with_a_store(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "inner" / "store").mkdir(parents=True)
    run = tmp_path / "inner" / "date" / "time" / "0"
    assert outputs_above(run) == (tmp_path / "inner").resolve()
    assert outputs_above(tmp_path / "date" / "time") == tmp_path.resolve()


def test_half_written_files_and_what_a_step_resumes_from_are_not_published(tmp_path):
    store = Store(tmp_path)
    workspace = store.workspace("step", KEY)
    (workspace / "a.npy.tmp").write_bytes(b"half")
    for folder, file in (("00001.tmp", "maps.npy"), (RESUME, "last.ckpt")):
        (workspace / folder).mkdir()
        (workspace / folder / file).write_bytes(b"half")
    folder = publish(store)
    assert sorted(path.name for path in folder.rglob("*")) == ["file.bin", MANIFEST, "sub"]


@pytest.mark.parametrize(
    "damage", ["flipped bit", "file gone", "truncated manifest", "no manifest"]
)
def test_a_damaged_artifact_is_named_and_not_used(tmp_path, damage):
    store = Store(tmp_path)
    folder = publish(store)
    file, manifest = folder / "sub" / "file.bin", folder / MANIFEST
    if damage == "flipped bit":
        file.write_bytes(b"conTent")
        os.utime(file, ns=(1, 1))
    elif damage == "file gone":
        file.unlink()
    elif damage == "truncated manifest":
        manifest.write_bytes(manifest.read_bytes()[:40])
    else:
        manifest.unlink()
    named = file.name if damage in ("flipped bit", "file gone") else MANIFEST
    with pytest.raises(BrokenArtifactError, match=named):
        store.find("step", KEY)


def test_a_manifest_of_another_key_is_not_believed(tmp_path):
    store = Store(tmp_path)
    folder = publish(store)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"key": content_key("other")}))
    with pytest.raises(BrokenArtifactError, match="key"):
        store.find("step", KEY)


@pytest.mark.parametrize(
    ("change", "reason"),  # a text stands for the whole manifest
    [
        *(
            ({name: None}, f"{name} is absent")
            for name in ("step", "key_parts", "files", "notes", "seconds", "code", "label")
        ),
        ({"notes": [1]}, "notes are not texts"),
        ({"files": {"../../secret": "0"}}, "'../../secret', which is not inside"),
        ({"files": {"/etc/passwd": "0"}}, "'/etc/passwd', which is not inside"),
        ({"files": {"": "0"}}, "'', which is not inside"),
        ({"files": {"a\0b": "0"}}, "which is not inside"),
        *((text, MANIFEST) for text in ("[" * 5000, "[]", "3")),
    ],
)
def test_a_manifest_that_was_tampered_with_is_named(tmp_path, change, reason):
    store = Store(tmp_path)
    folder = publish(store)
    if isinstance(change, dict):
        change = json.dumps(json.loads((folder / MANIFEST).read_text()) | change)
    (folder / MANIFEST).write_text(change)
    with pytest.raises(BrokenArtifactError, match=reason):
        store.find("step", KEY)


def _hold_lock_and_die(root: Path, held) -> None:
    with Store(root).lock("step", KEY, wait=True):
        held.set()
        os._exit(9)


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold_lock_and_die, args=(tmp_path, held))
    process.start()
    assert held.wait(60)
    process.join(60)
    with Store(tmp_path).lock("step", KEY, wait=False):
        pass


def test_a_held_lock_is_refused_at_once_to_who_does_not_wait(tmp_path):
    with (
        Store(tmp_path).lock("step", KEY, wait=False),
        pytest.raises(LockedError, match="held by another process"),
        Store(tmp_path).lock("step", KEY, wait=False),
    ):
        pass


def _wait_for_lock(root: Path, waits, got) -> None:
    waits.set()
    with Store(root).lock("step", KEY, wait=True):
        got.set()


def test_who_waits_for_a_lock_gets_it_when_it_is_released(tmp_path):
    context = multiprocessing.get_context("spawn")
    waits, got = context.Event(), context.Event()
    with Store(tmp_path).lock("step", KEY, wait=False):
        process = context.Process(target=_wait_for_lock, args=(tmp_path, waits, got))
        process.start()
        assert waits.wait(60)
        assert not got.is_set()
    assert got.wait(60)
    process.join(60)
    assert process.exitcode == 0
