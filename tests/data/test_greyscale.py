"""Stored values to grey: the standard's formulas against pydicom's, and the published scaling."""

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from data.greyscale import (
    grey_of_stored,
    polarity_doubts,
    published_grey_of_stored,
    stored_values,
)
from data.integrity import DataError


def header(bits: int = 12, **fields: object) -> Dataset:
    ds = Dataset()
    ds.BitsStored, ds.PixelRepresentation = bits, 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    for name, value in fields.items():
        setattr(ds, name, value)
    return ds


def table(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "US", entries)
    return item


@pytest.mark.parametrize("bits", range(1, 17))
def test_without_a_window_the_range_of_bits_stored_is_shown(bits):
    grey = grey_of_stored(header(bits))
    assert grey.dtype == np.uint8
    np.testing.assert_allclose(grey, np.linspace(0, 255, 2**bits), atol=0.5 + 1e-9)


def test_signed_values_come_after_the_others_as_their_bits_do():
    values = np.array([0, 1, 2047, -2048, -1])
    stored = stored_values(header(PixelRepresentation=1))
    np.testing.assert_array_equal(stored[values & 0xFFF], values)
    grey = grey_of_stored(header(PixelRepresentation=1))
    assert grey[values & 0xFFF].tolist() == [128, 128, 255, 0, 127]


@given(
    bits=st.integers(1, 16), signed=st.booleans(),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", None]),
    slope=st.sampled_from([None, 1.0, 0.25, 3.5]), centre=st.floats(-0.3, 1.3),
    width=st.floats(0.01, 3),
)  # fmt: skip
def test_rescale_and_windows_are_those_of_pydicom(bits, signed, function, slope, centre, width):
    ds = header(bits, PixelRepresentation=int(signed))
    scale = 2**bits * (slope or 1)
    ds.WindowCenter, ds.WindowWidth = f"{centre * scale:.6g}", f"{max(width * scale, 2):.6g}"
    if function:
        ds.VOILUTFunction = function
    if slope:
        ds.RescaleSlope, ds.RescaleIntercept = str(slope), "-100"
    values = pydicom.pixels.apply_modality_lut(stored_values(ds), ds)
    oracle = pydicom.pixels.apply_windowing(values, ds).astype(float)
    share = (oracle - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(grey_of_stored(ds), 255 * share, atol=0.5 + 1e-6)


@given(
    entries=st.lists(st.integers(0, 1023), min_size=2, max_size=300), first=st.integers(0, 200),
    modality=st.booleans(),
)  # fmt: skip
def test_look_up_tables_are_those_of_pydicom(entries, first, modality):
    ds = header(9, VOILUTSequence=[table([*entries, 1023], first, 10)])
    if modality:
        ds.ModalityLUTSequence = [table(entries[::-1], first, 16)]
    values = pydicom.pixels.apply_modality_lut(stored_values(ds), ds)
    oracle = pydicom.pixels.apply_voi(values, ds)
    np.testing.assert_allclose(grey_of_stored(ds), oracle * (255 / 1023), atol=0.5 + 1e-9)


def test_a_table_with_more_entries_than_its_bits_can_count_does_not_wrap():
    entries = (np.arange(4096) // 16).tolist()  # 12 bits shown in 8, where pydicom's index wraps
    grey = grey_of_stored(header(VOILUTSequence=[table(entries, 0, 8)]))
    np.testing.assert_array_equal(grey, np.arange(4096) // 16)


@pytest.mark.parametrize("declared", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("used", [8, 10, 12, 16])
def test_full_scale_is_the_smaller_of_the_bits_declared_and_those_of_the_largest_entry(
    declared, used
):
    entries = np.rint(np.linspace(0, 2**used - 1, 4096)).astype(int)
    grey = grey_of_stored(header(VOILUTSequence=[table(entries.tolist(), 0, declared)]))
    full = 2 ** min(declared, used) - 1
    np.testing.assert_allclose(grey, 255 * (entries / full).clip(0, 1), atol=0.5 + 1e-9)


def stored_table(entries: np.ndarray, bits: int, how: str, first: int = 0) -> Dataset:
    """A table whose data are stored in one of the ways that files hold."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    if how == "US":
        item.add_new("LUTData", "US", entries.tolist())
    elif how == "SS":
        item.add_new("LUTData", "SS", entries.astype(np.int16).tolist())
    elif how == "two in a US":
        packed = np.append(entries, 0)[: len(entries) + len(entries) % 2].astype(np.uint8)
        item.add_new("LUTData", "US", packed.view("<u2").tolist())
    else:
        data = entries.astype(np.uint8 if "bytes" in how else "<u2").tobytes()
        padding = b"" if how == "unpadded bytes" else b"\0" * (len(data) % 2)
        item.add_new("LUTData", "OB" if how.startswith("OB") else "OW", data + padding)
    return item


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 4095, 4096])
@pytest.mark.parametrize(
    "how", ["US", "words", "bytes", "unpadded bytes", "OB bytes", "two in a US"]
)
def test_8_bit_entries_are_read_however_they_are_stored(name, count, how):
    entries = np.rint(np.linspace(0, 255, count)).astype(int)
    if count == 1 and name == "ModalityLUTSequence":
        entries, count = np.array([0, 255]), 2
    grey = grey_of_stored(header(**{name: [stored_table(entries, 8, how)]}))
    expected = entries[np.arange(4096).clip(0, count - 1)]
    full = max(int(expected.max()), 1)
    np.testing.assert_allclose(grey, 255 * (expected / full), atol=0.5 + 1e-9)


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("how", ["US", "SS", "words"])
@pytest.mark.parametrize("count", [4096, 40000, 65536])
def test_16_bit_entries_are_unsigned_whatever_their_type_and_count(name, how, count):
    entries = np.rint(np.linspace(0, 65535, count)).astype(int)
    grey = grey_of_stored(header(16, **{name: [stored_table(entries, 16, how)]}))
    expected = entries[np.arange(65536).clip(0, count - 1)]
    np.testing.assert_allclose(grey, 255 * (expected / 65535), atol=0.5 + 1e-9)


@pytest.mark.parametrize("first", [-2048, 65536 - 2048])
def test_a_table_of_signed_values_is_found_however_its_first_value_is_written(first):
    item = stored_table(np.arange(4096), 12, "words")
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [4096, first, 12])
    grey = grey_of_stored(header(PixelRepresentation=1, VOILUTSequence=[item]))
    values = stored_values(header(PixelRepresentation=1))
    np.testing.assert_allclose(grey, (values + 2048) * (255 / 4095), atol=0.5 + 1e-9)


def test_a_table_of_unsigned_values_is_found_where_its_first_is_written_as_signed():
    item = stored_table(np.arange(40000), 16, "words")
    item.add_new("LUTDescriptor", "SS", [40000, 50000 - 65536, 16])
    grey = grey_of_stored(header(16, VOILUTSequence=[item]))
    expected = (np.arange(65536) - 50000).clip(0, 39999)
    np.testing.assert_allclose(grey, expected * (255 / 65535), atol=0.5 + 1e-9)


@pytest.mark.parametrize(
    ("photometric", "shape", "told"),
    [
        ("MONOCHROME2", "INVERSE", True), ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "IDENTITY", False), ("MONOCHROME1", "INVERSE", False),
        ("MONOCHROME2", None, False), ("MONOCHROME1", "", False),
    ],
)  # fmt: skip
def test_two_fields_that_disagree_about_black_and_white_are_told(photometric, shape, told):
    ds = header(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    assert [field for field, _ in polarity_doubts(ds)] == ["PresentationLUTShape"] * told
    plain = header(PhotometricInterpretation=photometric)
    np.testing.assert_array_equal(grey_of_stored(ds), grey_of_stored(plain))


def test_the_first_of_several_windows_is_used_and_a_table_goes_before_them():
    several = header(WindowCenter=["500", "3000"], WindowWidth=["400", "100"])
    one = header(WindowCenter="500", WindowWidth="400")
    np.testing.assert_array_equal(grey_of_stored(several), grey_of_stored(one))
    several.VOILUTSequence = [table([0, 255], 2000, 8)]
    np.testing.assert_array_equal(grey_of_stored(several), np.where(np.arange(4096) > 2000, 255, 0))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1500, "WindowWidth": 2000}])
def test_monochrome1_is_the_negative_of_monochrome2(window):
    positive, negative = header(**window), header(**window)
    negative.PhotometricInterpretation = "MONOCHROME1"
    for grey in (grey_of_stored, lambda ds: published_grey_of_stored(ds, 4095)):
        np.testing.assert_array_equal(grey(negative), 255 - grey(positive))


@pytest.mark.parametrize(
    ("bits", "maximum", "full"),
    [(8, 255, 4095), (12, 4095, 4095), (13, 4000, 4095), (13, 4096, 65535), (16, 65535, 65535)],
)
def test_the_published_scaling_divides_by_4095_or_65535_and_ignores_the_window(bits, maximum, full):
    grey = published_grey_of_stored(header(bits, WindowCenter=100, WindowWidth=50), maximum)
    values = np.arange(2**bits)
    seen = values <= maximum
    np.testing.assert_array_equal(grey[seen], (values * 255 // full)[seen])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"WindowCenter": 1, "WindowWidth": 0}, "WindowWidth is too small"),
        ({"WindowCenter": 1, "WindowWidth": 0.5}, "WindowWidth is too small"),
        ({"WindowCenter": 1, "WindowWidth": -1, "VOILUTFunction": "SIGMOID"}, "WindowWidth"),
        ({"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "VOILUTFunction"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope"),
        ({"VOILUTSequence": [table([1, 2], 0, 17)]}, "VOILUTSequence"),
    ],
)
def test_fields_that_make_no_sense_are_named(fields, reason):
    with pytest.raises(DataError, match=reason):
        grey_of_stored(header(**fields))
    short = table([1, 2, 3], 0, 8)
    short.LUTDescriptor = [4, 0, 8]
    with pytest.raises(DataError, match="do not fit together"):
        grey_of_stored(header(ModalityLUTSequence=[short]))


def test_signed_values_have_no_published_scaling():
    with pytest.raises(DataError, match="signed"):
        published_grey_of_stored(header(PixelRepresentation=1), 100)


def test_a_window_of_width_one_is_a_threshold():
    grey = grey_of_stored(header(WindowCenter=1000, WindowWidth=1))
    np.testing.assert_array_equal(grey, np.where(np.arange(4096) > 999.5, 255, 0))
