"""A few spoilt files of every kind; the campaign of ten thousand is ``make torture``'s."""

import random
from pathlib import Path

import pytest

from pipeline import config
from tests.campaigns import mutations
from tests.campaigns.spoilt_inputs import Outcome, in_time, kinds, spoilt, try_file

FILES = 4  # times the share of the kind
KINDS = kinds()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.share])
def test_a_spoilt_file_is_read_or_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CONF", config.CONF)
    kind = KINDS[name]
    path = kind.write(tmp_path)
    sound = path.read_bytes()
    assert not try_file(kind, path).is_fault
    outcomes = []
    for number in range(FILES * kind.share):
        path.write_bytes(spoilt(kind, name, 1, number, sound))
        outcomes.append(try_file(kind, path))
    assert [each for each in outcomes if each.is_fault] == []


def test_a_reader_that_lets_another_error_out_or_names_nothing_is_a_fault(tmp_path):
    def raises(error: Exception) -> Outcome:
        def read(_path: Path) -> None:
            raise error

        kind = KINDS["NIH boxes"]._replace(read=read, refusals=(ValueError,))
        return try_file(kind, tmp_path / "boxes.csv")

    assert not raises(ValueError("boxes.csv: bad")).is_fault
    assert raises(ValueError("bad")).what == "names no file"
    assert raises(KeyError("boxes.csv")).what == "another error"
    assert raises(MemoryError()).what == "memory"


def test_too_long_and_only_waiting_are_faults_but_not_a_busy_machine():
    read = Outcome("read")
    assert in_time(read, seconds=9, wall=200) is read
    assert in_time(read, seconds=0.1, wall=20) is read
    assert in_time(read, seconds=11, wall=20).what == "too long"
    assert in_time(read, seconds=0.1, wall=70).is_fault


@pytest.mark.parametrize("name", ["PNG L", "DICOM RLE Lossless", "NIH labels", "run.json", "YAML"])
def test_the_same_number_is_spoilt_the_same_way_and_others_otherwise(name, tmp_path):
    kind = KINDS[name]
    sound = kind.write(tmp_path).read_bytes()
    files = [spoilt(kind, name, 0, number, sound) for number in range(20)]
    assert files == [spoilt(kind, name, 0, number, sound) for number in range(20)]
    assert len(set(files)) > 12
    assert sum(each == sound for each in files) < 5


def test_a_png_spoilt_under_right_checksums_still_has_its_signature(tmp_path):
    sound = KINDS["PNG L"].write(tmp_path).read_bytes()
    for seed in range(20):
        assert mutations.spoil_png(random.Random(seed), sound).startswith(b"\x89PNG\r\n\x1a\n")
