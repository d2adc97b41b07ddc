"""A film of which a part is missing is refused, also where its decoder fills up the rest."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid

from data.dicom import read_dicom
from data.image_files import MAX_JPEG_SEGMENTS, read_grey
from data.integrity import DataError
from data.whole_images import has_end
from tests.campaigns.bombs import chunk
from tests.data import dicom_films

END = b"\xff\xd9"
# Which of the seven passes brings a pixel (PNG 1.2, 2.6), by its row and column modulo 8.
PASSES = np.array(
    [[int(p) for p in row] for row in (
        "16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656",
        "77777777",
    )]
)  # fmt: skip


def rows_of_png(width: int, height: int, bits: int, interlaced: bool) -> list[bytes]:
    """Every row of a black image, its filter's byte in front, as it stands in the file."""
    tiled = np.tile(PASSES, (-(-height // 8), -(-width // 8)))[:height, :width]
    passes = tiled if interlaced else np.zeros_like(tiled)
    counts = [(passes[passes_row] == n).sum() for n in range(8) for passes_row in range(height)]
    return [bytes(1 + -(-int(count) * bits // 8)) for count in counts if count]


def write_png(
    path: Path, size: tuple[int, int], bits: int, colour: int, interlaced: bool, pixels: bytes
) -> Path:
    """An image of grey, colour or a palette, its pixels in two pieces."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, interlaced)
    packed = zlib.compress(pixels)
    pieces = [chunk(b"IDAT", packed[:5]), chunk(b"IDAT", packed[5:])]
    palette = chunk(b"PLTE", b"\x40\x50\x60" * 2) if colour == 3 else b""
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join([palette, *pieces])
        + chunk(b"IEND", b"")
    )
    return path


@given(
    width=st.integers(1, 20),
    height=st.integers(2, 20),
    kind=st.sampled_from([(0, 1, 1), (0, 8, 1), (0, 16, 1), (2, 8, 3), (3, 4, 1), (6, 16, 4)]),
    interlaced=st.booleans(),
    share=st.floats(0, 1, exclude_max=True),
)
def test_a_png_is_read_with_all_of_its_rows_and_refused_with_fewer(
    tmp_path_factory, width, height, kind, interlaced, share
):
    colour, bits, samples = kind
    rows = rows_of_png(width, height, bits * samples, interlaced)
    path = tmp_path_factory.mktemp("png") / "film.png"
    write_png(path, (width, height), bits, colour, interlaced, b"".join(rows))
    assert read_grey(path).shape == (height, width)
    kept = rows[: int(share * len(rows))]
    write_png(path, (width, height), bits, colour, interlaced, b"".join(kept))
    with pytest.raises(DataError, match=r"film\.png: damaged or truncated"):
        read_grey(path)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


def picture(mode: str, side: int = 64) -> np.ndarray:
    smooth = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)
    return smooth if mode == "L" else np.dstack([smooth, smooth[::-1], smooth.T])


JPEGS = {
    "baseline": jpeg(picture("L")),
    "colour": jpeg(picture("RGB")),
    "progressive": jpeg(picture("L"), progressive=True),
    "restarts": jpeg(picture("L"), restart_marker_blocks=3),
}


@pytest.mark.parametrize("kind", JPEGS)
@given(share=st.floats(0.1, 1, exclude_max=True))
def test_a_jpeg_that_was_cut_and_ended_anew_is_refused_unless_nothing_is_lost(
    tmp_path_factory, kind, share
):
    stream = JPEGS[kind]
    path = tmp_path_factory.mktemp("jpeg") / "film.jpg"
    path.write_bytes(stream)
    whole = read_grey(path)
    path.write_bytes(stream[: int(share * len(stream))] + END)
    try:
        cut = read_grey(path)
    except DataError:
        return
    # The last block may lack a bit; a progressive film may end after a scan, with less detail.
    if kind != "progressive":
        np.testing.assert_array_equal(cut[:-16], whole[:-16])
        np.testing.assert_array_equal(cut[:, :-16], whole[:, :-16])
    assert np.abs(cut.astype(int) - whole).max() < 40


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts"])
def test_a_jpeg_that_claims_more_rows_than_it_has_is_refused(tmp_path, kind):
    stream = JPEGS[kind]
    at = stream.index(b"\xff\xc2" if kind == "progressive" else b"\xff\xc0") + 5
    claimed = stream[:at] + struct.pack(">H", 128) + stream[at + 2 :]
    (tmp_path / "film.jpg").write_bytes(claimed)
    with pytest.raises(DataError, match=r"film\.jpg: damaged or truncated: fewer pixels"):
        read_grey(tmp_path / "film.jpg")


@pytest.mark.parametrize("grey", [0, 127, 128, 255])
def test_a_film_of_one_grey_is_whole(tmp_path, grey):
    pixels = np.full((40, 56), grey, np.uint8)
    for name in ("film.png", "film.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
        np.testing.assert_array_equal(read_grey(tmp_path / name), pixels)


TRAILERS = {  # what phones and scanners write behind the end, and what it is made of
    "a few bytes": lambda noise: noise[:200],
    "noise": lambda noise: noise,
    "a film clip": lambda noise: b"\0\0\0\x18ftypmp42" + noise,
    "markers": lambda noise: b"\xff\xda\0\x08" * 500 + END + noise[:999] + b"\xff\xda",
    "zeros": lambda noise: bytes(2_000_000),
    "another image": lambda noise: JPEGS["colour"] + b"\xff\xd8\xff\xe1",
    "half an image": lambda noise: JPEGS["progressive"][:-90],
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", [*JPEGS, "png"])
@pytest.mark.parametrize("seed", range(8))
def test_what_stands_behind_the_end_of_a_film_changes_nothing(tmp_path, kind, trailer, seed):
    if kind == "png":
        stream = io.BytesIO()
        Image.fromarray(picture("L")).save(stream, "PNG")
        alone = stream.getvalue()
    else:
        alone = JPEGS[kind]
    noise = np.random.default_rng(seed).integers(0, 256, 300_000, np.uint8).tobytes()
    (tmp_path / "alone").write_bytes(alone)
    (tmp_path / "film").write_bytes(alone + TRAILERS[trailer](noise))
    np.testing.assert_array_equal(read_grey(tmp_path / "film"), read_grey(tmp_path / "alone"))


# Not those that may pass for compressed data, of which a JPEG has no checksum.
@pytest.mark.parametrize("trailer", ["zeros", "another image", "half an image"])
@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_no_trailer_makes_a_cut_film_whole(tmp_path, kind, trailer, share):
    cut = JPEGS[kind][: int(share * len(JPEGS[kind]))]
    (tmp_path / "film.jpg").write_bytes(cut + TRAILERS[trailer](b""))
    with pytest.raises(DataError, match=r"film\.jpg: damaged or truncated"):
        read_grey(tmp_path / "film.jpg")


def test_ends_and_scans_of_a_thumbnail_are_not_the_film_s(tmp_path):
    exif = b"Exif\0\0" + JPEGS["progressive"] * 20
    stream = JPEGS["baseline"]
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "film.jpg").write_bytes(stream[:2] + segment + stream[2:])
    (tmp_path / "alone.jpg").write_bytes(stream)
    np.testing.assert_array_equal(
        read_grey(tmp_path / "film.jpg"), read_grey(tmp_path / "alone.jpg")
    )


def test_fill_bytes_and_the_second_image_of_a_phone_are_no_obstacle(tmp_path):
    stream = JPEGS["restarts"]
    filled = stream[:-2].replace(b"\xff\xda", b"\xff\xff\xff\xda") + b"\xff\xff" + END
    (tmp_path / "film.jpg").write_bytes(filled + b"\0")
    (tmp_path / "alone.jpg").write_bytes(stream)
    np.testing.assert_array_equal(
        read_grey(tmp_path / "film.jpg"), read_grey(tmp_path / "alone.jpg")
    )
    first, second = Image.fromarray(picture("L")), Image.fromarray(picture("L", 16))
    first.save(tmp_path / "two.jpg", "MPO", save_all=True, append_images=[second], quality=95)
    np.testing.assert_allclose(read_grey(tmp_path / "two.jpg").astype(int), picture("L"), atol=30)


def test_a_jpeg_of_very_many_segments_is_refused_before_it_is_decoded(tmp_path):
    stream = JPEGS["baseline"]
    comments = b"\xff\xfe\0\x02" * MAX_JPEG_SEGMENTS
    (tmp_path / "film.jpg").write_bytes(stream[:2] + comments + stream[2:])
    with pytest.raises(DataError, match=r"film\.jpg: more than 10000 segments"):
        read_grey(tmp_path / "film.jpg")


def test_a_stream_whose_data_have_no_end_behind_them_is_not_ended():
    for stream in JPEGS.values():
        assert has_end(stream)
        assert has_end(stream + b"\0")  # DICOM pads to an even length
        assert not has_end(stream[:-2])
        assert not has_end(END + stream[2:-2])


@pytest.mark.parametrize(
    "syntax",
    [
        uid.JPEGBaseline8Bit,
        uid.JPEGLosslessSV1,
        uid.JPEG2000Lossless,
        uid.JPEGLSLossless,
        uid.RLELossless,
    ],
)
@pytest.mark.parametrize("tail", ["an end", "zeros"])
def test_a_compressed_dicom_film_that_was_cut_and_filled_up_is_refused(tmp_path, syntax, tail):
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    film = dicom_films.dicom(dicom_films.film(bits), bits)
    if syntax == uid.JPEGBaseline8Bit:
        stream = jpeg(dicom_films.film(8))
    else:
        dicom_films.compress(tmp_path / "film.dcm", film, syntax)
        stream = dicom_films.frame(film)
    dicom_films.encapsulated(tmp_path / "film.dcm", film, syntax, stream)
    assert read_dicom(tmp_path / "film.dcm")[0].shape == dicom_films.film(bits).shape
    kept = stream[: int(0.8 * len(stream))]
    cut = kept + (END if tail == "an end" else bytes(len(stream) - len(kept)))
    dicom_films.encapsulated(tmp_path / "film.dcm", film, syntax, cut)
    with pytest.raises(DataError, match=r"film\.dcm: .*truncated"):
        read_dicom(tmp_path / "film.dcm")
