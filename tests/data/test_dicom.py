"""Reading DICOM films: what grey they become, what is refused, and that no patient leaks out."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from data import dicom_pixels, isolated_decoding
from data.config import DicomScaling
from data.dicom import DicomFacts, read_dicom, read_dicom_facts
from data.integrity import DataError
from tests.data.dicom_films import (
    SECRET,
    compress,
    dicom,
    encapsulated,
    film,
    write,
    written,
)

# What pydicom warns of: bad values that the tests write, and cuts.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.mark.parametrize(
    "syntax",
    [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian],
)
def test_byte_orders_make_no_difference(tmp_path, syntax):
    pixels = film()
    item = Dataset()
    order = ">u2" if syntax == uid.ExplicitVRBigEndian else "<u2"
    item.LUTDescriptor = [4096, 0, 12]
    item.add_new("LUTData", "OW", np.arange(4096)[::-1].astype(order).tobytes())
    ds = dicom(pixels.astype(order), VOILUTSequence=[item])
    ds.file_meta.TransferSyntaxUID = syntax
    grey, _ = read_dicom(write(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(grey, 255 - pixels * (255 / 4095), atol=0.5 + 1e-9)


@pytest.mark.parametrize(
    ("syntax", "bits"),
    [
        *itertools.product(
            (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless), (8, 12, 16)
        ),
        (uid.JPEGLossless, 12),  # a process each
        (uid.JPEGLosslessSV1, 16),
    ],
)
def test_lossless_compression_makes_no_difference(tmp_path, syntax, bits):
    plain, _ = read_dicom(write(tmp_path / "plain.dcm", dicom(film(bits), bits)))
    path = compress(tmp_path / "packed.dcm", dicom(film(bits), bits), syntax)
    grey, facts = read_dicom(path)
    np.testing.assert_array_equal(grey, plain)
    assert facts == read_dicom_facts(path)


def test_jpeg_baseline_is_read_to_its_loss(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "JPEG", quality=95)
    path = tmp_path / "a.dcm"
    encapsulated(path, dicom(smooth, 8), uid.JPEGBaseline8Bit, stream.getvalue())
    assert np.abs(read_dicom(path)[0].astype(int) - smooth).max() <= 3


def test_bits_above_bits_stored_are_ignored(tmp_path):
    overlay = film() | np.uint16(0xA000)
    plain, _ = read_dicom(write(tmp_path / "plain.dcm", dicom(film())))
    grey, _ = read_dicom(write(tmp_path / "overlay.dcm", dicom(overlay)))
    np.testing.assert_array_equal(grey, plain)


def slope(bits: int = 12) -> np.ndarray:
    """A film of (40, 44) that runs once through all values of ``bits``, up and down."""
    across = 1 - np.abs(np.linspace(-1, 1, 44))
    return np.rint((2**bits - 1) * across * np.ones((40, 1))).astype(np.int64)


@pytest.mark.parametrize(
    "syntax",
    [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless],
)
@pytest.mark.parametrize(
    ("pixels", "bits", "wrong"),
    [
        (slope().astype(np.uint16), 12, {"PixelRepresentation": 1}),
        (slope(16).astype(np.uint16), 16, {"PixelRepresentation": 1}),
        (slope(8).astype(np.uint8), 8, {"PixelRepresentation": 1}),
        (slope().astype(np.uint16), 12, {"BitsStored": 10, "HighBit": 9}),
    ],
)
def test_a_film_whose_greys_would_wrap_around_is_refused(tmp_path, syntax, pixels, bits, wrong):
    ds = dicom(pixels, bits)
    if syntax.is_compressed:
        ds.compress(syntax, generate_instance_uid=False)
    read_dicom(write(tmp_path / "right.dcm", ds))
    for name, value in wrong.items():
        setattr(ds, name, value)
    with pytest.raises(DataError, match="BitsStored or PixelRepresentation does not fit"):
        read_dicom(write(tmp_path / "wrong.dcm", ds))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_jpeg_2000_stream_of_signed_values_that_the_header_calls_unsigned_is_refused(
    tmp_path, bits
):
    signed = (slope(bits) - 2 ** (bits - 1)).astype(np.int8 if bits == 8 else np.int16)
    ds = dicom(signed, bits)
    ds.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    grey, _ = read_dicom(write(tmp_path / "right.dcm", ds))
    np.testing.assert_allclose(grey, slope(bits) * (255 / (2**bits - 1)), atol=0.5 + 1e-9)
    ds.PixelRepresentation = 0
    with pytest.raises(DataError, match="PixelRepresentation does not fit"):
        read_dicom(write(tmp_path / "wrong.dcm", ds))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_signed_films_that_run_through_zero_are_read(tmp_path, bits):
    signed = (slope(bits) - 2 ** (bits - 1)).astype(np.int8 if bits == 8 else np.int16)
    grey, _ = read_dicom(write(tmp_path / "a.dcm", dicom(signed, bits)))
    np.testing.assert_allclose(grey, slope(bits) * (255 / (2**bits - 1)), atol=0.5 + 1e-9)
    # Without the sign in the bits above.
    bits_alone = signed.view(f"u{signed.itemsize}") & np.uint16(2**bits - 1)
    bare = dicom(bits_alone.astype(f"u{signed.itemsize}"), bits, PixelRepresentation=1)
    np.testing.assert_array_equal(read_dicom(write(tmp_path / "a.dcm", bare))[0], grey)


def test_the_scaling_asked_for_is_used(tmp_path):
    ds = dicom(film(14), 14, WindowCenter=9000, WindowWidth=9000)
    path = write(tmp_path / "a.dcm", ds)
    published, _ = read_dicom(path, DicomScaling.published_code)
    np.testing.assert_array_equal(published, film(14).astype(int) * 255 // 65535)
    shown = (film(14) - 9000.0 + 0.5) / 8999 + 0.5
    np.testing.assert_allclose(read_dicom(path)[0], 255 * shown.clip(0, 1), atol=0.5 + 1e-9)


def test_facts_are_those_of_the_header(tmp_path):
    ds = dicom(film(), PixelSpacing=["0.2", "0.1"], WindowCenter=["2000", "1"],
               WindowWidth=["4000", "1"], PatientOrientation=["L", "F"])  # fmt: skip
    facts = read_dicom_facts(write(tmp_path / "a.dcm", ds))
    assert facts == DicomFacts(
        rows=40, columns=44, bits_stored=12, photometric="MONOCHROME2",
        spacing=(0.2, 0.1),
        aspect=2, text_excluded=True, doubts=(),
    )  # fmt: skip


def replaced(**fields: object) -> bytes:
    return written(dicom(film(), **fields))


def without(name: str) -> bytes:
    ds = dicom(film())
    delattr(ds, name)
    return written(ds)


def compressed(syntax: uid.UID, find: bytes, at: int, new: bytes) -> bytes:
    """A compressed film whose codestream says another size: ``new`` ``at`` bytes after ``find``."""
    ds = dicom(film())
    ds.compress(syntax, generate_instance_uid=False)
    content = written(ds)
    start = content.index(find) + at
    return content[:start] + new + content[start + len(new) :]


def deflated() -> bytes:
    ds = dicom(film())
    ds.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    return written(ds)


def syntax_of(syntax: str) -> bytes:
    ds = dicom(film(), PixelData=encapsulate([b"\0" * 8]))
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    return written(ds)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (without("PixelData"), "no pixel data"),
        (replaced(Rows=0), "no pixels"),
        (replaced(PhotometricInterpretation="RGB"), "MONO"),
        (replaced(PhotometricInterpretation=SECRET), "MONO"),
        (without("PhotometricInterpretation"), "MONO"),
        (replaced(SamplesPerPixel=3), "one sample"),
        (replaced(NumberOfFrames=2), "several frames"),
        (replaced(NumberOfFrames=0), "NumberOfFrames is 0"),
        (replaced(NumberOfFrames=1).replace(b"IS\2\x001 ", b"IS\2\0001,"),
         "NumberOfFrames is not a whole number"),
        (replaced(Rows=65535, Columns=65535), "too large"),
        (replaced(Rows=300), "truncated"),
        (written(dicom(film()))[:-9], "truncated"),
        (written(dicom(film()))[:400], "no pixel data|absent|truncated"),
        (without("Rows"), "Rows is absent"),
        (replaced(BitsAllocated=32, BitsStored=32, HighBit=31), "BitsAllocated 32"),
        (replaced(HighBit=15), "HighBit 15"),
        (replaced(BitsStored=0, HighBit=0), "BitsStored 0"),
        (replaced(PixelRepresentation=7), "PixelRepresentation"),
        (replaced(WindowCenter=1, WindowWidth=0), "WindowWidth is too small"),
        (replaced(WindowCenter=1, WindowWidth=9, VOILUTFunction="X"), "VOILUTFunction"),
        (replaced(RescaleSlope=0, RescaleIntercept=0), "RescaleSlope"),
        (replaced(VOILUTSequence=[Dataset()]), "damaged"),
        (deflated(), "deflated"),
        (syntax_of("1.2.840.10008.1.2.4.100"), "is not read"),
        (syntax_of("1.2.3"), "absent or unknown"),
        (syntax_of(uid.JPEGExtended12Bit), "12 bits is not read"),
        (b"", "empty"),
        (b"no DICOM file" * 20, "not a DICOM file"),
        (compressed(uid.JPEG2000Lossless, b"\xff\x4f\xff\x51", 8, b"\0\0\x75\x30" * 2),
         "not the size"),
        (compressed(uid.JPEGLSLossless, b"\xff\xf7", 5, b"\x7f\xff" * 2),
         "not the size"),
        (compressed(uid.JPEG2000Lossless, b"\xff\x4f\xff\x51", 0, b"\0" * 4),
         "not the size"),
    ],
)  # fmt: skip
def test_what_is_no_single_grey_film_is_refused_by_name(tmp_path, content, reason):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(DataError, match=f"a.dcm: .*({reason})") as caught:
        read_dicom(tmp_path / "a.dcm")
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__  # the parser's own error may quote the header


def test_an_absent_film_is_called_that(tmp_path):
    with pytest.raises(DataError, match=r"a\.dcm: not found"):
        read_dicom(tmp_path / "a.dcm")


@settings(max_examples=60, deadline=None)
@given(
    share=st.floats(0, 0.999),
    syntax=st.sampled_from(
        [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
    ),
)
def test_no_cut_of_a_film_reads_as_another_film(tmp_path_factory, share, syntax):
    ds = dicom(film())
    if syntax.is_compressed:
        ds.compress(syntax, generate_instance_uid=False)
    content = written(ds)
    path = tmp_path_factory.mktemp("cut") / "a.dcm"
    path.write_bytes(content[: int(share * len(content))])
    try:
        grey, _ = read_dicom(path)
    except DataError:
        return
    path.write_bytes(content)
    assert share * len(content) > len(content) - 16  # the delimiter after the last pixel
    np.testing.assert_array_equal(grey, read_dicom(path)[0])


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLosslessSV1])
def test_what_a_decoder_could_take_along_is_decoded_in_a_process_of_its_own(
    tmp_path, monkeypatch, syntax
):
    path = compress(tmp_path / "a.dcm", dicom(film()), syntax)
    here, _ = read_dicom(path)
    monkeypatch.setattr(dicom_pixels, "ISOLATED_FROM", 100)
    np.testing.assert_array_equal(read_dicom(path)[0], here)
    (tmp_path / "dies.py").write_text("import os; os.abort()")
    monkeypatch.setattr(isolated_decoding, "__file__", str(tmp_path / "dies.py"))
    with pytest.raises(DataError, match=r"a\.dcm: pixel data damaged"):
        read_dicom(path)


def test_nothing_of_the_patient_is_returned_or_logged(tmp_path, caplog):
    path = write(tmp_path / "a.dcm", dicom(film(), VOILUTFunction=SECRET))
    caplog.clear()  # what writing it logged
    grey, facts = read_dicom(path)
    assert caplog.text == ""
    shown = repr(facts) + repr(facts.doubts) + repr(grey)
    assert "DOE" not in shown
    assert "1970" not in shown
