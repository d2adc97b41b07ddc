"""Reading what users bring: paths, tables and films, each with an error that says what is wrong."""

import csv
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from data.dicom_start import why_no_image
from data.exif_orientation import upright
from data.whole_images import (
    JPEG_END,
    JPEG_SCAN,
    PNG_END,
    is_whole_png,
    jpeg_segments,
    png_chunks,
    with_more_data,
)

MAX_PIXELS = 64 * 1024**2  # ours: eight times the largest films of CR and DX detectors
MAX_BYTES = 2 * MAX_PIXELS + 16 * 1024**2  # ours: 16 bits a pixel, and room for a header
# Ours: four and seven times the largest official table, NIH's labels; pandas fills up short rows.
MAX_TABLE_BYTES, MAX_FIELDS, MAX_COLUMNS = 32 * 1024**2, 10**7, 1000
READABLE_FORMATS = ("PNG", "JPEG")  # ours: decoders of other formats are an attack surface
# What a small file may ask of a decoder: it is busy with each chunk, and with all pixels a scan.
MAX_PNG_CHUNKS = 100_000  # ours: 64 megapixels of 16 bits take 16,384 of the usual 8 KiB
MAX_JPEG_SCANS = 40  # ours: four times what progressive films have
MAX_JPEG_SEGMENTS = 10_000  # ours: 144 MB of segments take a quarter of them
_SHOWN = 1000  # characters of a header
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_GREY_OF_16_BITS = ((np.arange(65536) * 255 + 32767) // 65535).astype(np.uint8)


class DataError(ValueError):
    """Input that cannot be used; the message names the file or field and what to do."""


class Problem(NamedTuple):
    """One thing that was skipped or repaired: where, which field, and why."""

    file: str
    field: str
    reason: str


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """Table of problems with the string columns file, field, reason."""
    return pd.DataFrame(list(problems), columns=list(Problem._fields), dtype=str)


def list_problems(files: pd.Series, field: str, reason: str | pd.Series) -> pd.DataFrame:
    """The same, for many files at once, their names made printable; keeps their index."""
    return pd.DataFrame(
        {"file": files.map(printable), "field": field, "reason": reason}, index=files.index
    )


def commonest(problems: pd.DataFrame) -> str:
    """Of a table of problems: which one there is most often, how often, and where it is first.

    For errors that say that nothing usable is left: what is listed then is the reason.
    """
    if problems.empty:
        return "no problem was listed"
    reason, count = Counter(problems["reason"]).most_common(1)[0]
    first = problems[problems["reason"] == reason].iloc[0]
    where = ", ".join(text for text in (first["file"], first["field"]) if text)
    return f"{reason} ({count} of {len(problems)} problems; the first: {where})"


def printable(name: str) -> str:
    """The name with control characters, and bytes that are not UTF-8, written as escapes, so that
    it can go into a table: a carriage return would end its row."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def reason_alone(error: DataError, path: Path) -> str:
    """What an error of reading the file says, without the path that it begins with."""
    return str(error).removeprefix(f"{printable(str(path))}: ")


def resolve_inside(root: Path, name: str) -> Path:
    """Absolute path of ``name`` below ``root``.

    Raises DataError for an empty or absolute name, ``..``, and links that lead out of the root.
    """
    shown = printable(name)
    if not name or "\0" in name:
        raise DataError(f"{shown!r} is not a file name")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise DataError(f"{shown!r} is an absolute path: give it relative to {root}")
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise DataError(f"{shown!r} contains '..' and could leave {root}")
    try:
        path, base = (root / name).resolve(), root.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise DataError(f"{shown!r} cannot be resolved below {root}: {error}") from error
    if not path.is_relative_to(base):
        raise DataError(f"{shown!r} is a link that leads out of {root}, to {path}: copy it inside")
    return path


def resolve_film(root: Path, path: str) -> Path:
    """The same of a film or folder found below ``root``, of which a folder elsewhere is a part if
    a link right below ``root`` leads to it: somebody made that, to keep films on another disk.

    Below such a folder, too, links that lead out of it are refused, as are links to single files.
    """
    first, _, rest = path.partition("/")
    if first and is_linked_folder(root, first):
        return resolve_inside(root / first, rest or ".")
    return resolve_inside(root, path)


def is_linked_folder(root: Path, name: str) -> bool:
    """Whether ``name``, right below ``root``, is a link to a folder that neither lies in ``root``
    nor holds it."""
    link = root / name
    if "/" in name or not (link.is_symlink() and link.is_dir()):
        return False
    base, target = root.resolve(), link.resolve()
    return not target.is_relative_to(base) and not base.is_relative_to(target)


def check_file(path: Path, most: int) -> int:
    """Its bytes, told before it is opened, for a pipe would block and a device never end.

    Raises DataError, which does not name the file, where it is not regular or over ``most`` bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError("not a regular file")
    if status.st_size > most:
        raise DataError(f"too large: {status.st_size} bytes, at most {most} are read")
    return status.st_size


def read_table(path: Path, columns: Collection[str], separator: str = ",") -> pd.DataFrame:
    """A csv file as strings, all its columns, indexed by line number (header = 1).

    Accepts a byte-order mark, CRLF, blank lines, and spaces around the values of ``columns``, whose
    control characters become escapes; a field that a row lacks is "". Raises DataError if the file
    is absent, no regular file, too large, empty, not UTF-8, malformed, or has one of ``columns``
    not once.
    """
    try:
        check_file(path, MAX_TABLE_BYTES)
        with path.open(encoding="utf-8-sig", newline="") as file:
            width = len(next(csv.reader(file, delimiter=separator), []))
            lines = 1 + sum(1 for _ in file)
        if width > MAX_COLUMNS or lines * width > MAX_FIELDS:
            raise DataError(
                f"too large: {lines} lines of {width} columns, at most {MAX_COLUMNS} columns and "
                f"{MAX_FIELDS} fields are read"
            )
        table = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            header=None,  # pandas would give a column that stands there twice another name
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            compression=None,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path} not found") from None
    except PermissionError:
        raise DataError(f"{path} cannot be read: permission denied") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise DataError(f"{path} is malformed: {error}") from error
    header = [name.strip() for name in table.iloc[0]]
    missing = [column for column in columns if column not in header]
    if missing:
        others = [mark for mark in ",;\t" if mark != separator and mark in "".join(header)]
        raise DataError(
            f"{path} lacks the column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(repr, header))[:_SHOWN]}"
            + (f": separate columns by {separator!r}, not {others[0]!r}" if others else "")
        )
    doubled = [column for column in columns if header.count(column) > 1]
    if doubled:
        raise DataError(f"{path} has the column {', '.join(map(repr, doubled))} twice: leave one")
    table = table.iloc[1:].set_axis(header, axis="columns")
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    table = table[(table.to_numpy() != "").any(axis=1)]
    for column in columns:  # Python's strings: many times faster than pandas' .str on 112,120 rows
        stripped = [
            value if value.isprintable() else printable(value)
            for value in map(str.strip, table[column])
        ]
        table[column] = pd.Series(stripped, index=table.index, dtype=object)
    if table.empty:
        raise DataError(f"{path} has a header but no rows")
    return table


def read_grey(path: Path) -> np.ndarray:
    """The film of ``read_film``, where nobody asks how it was turned."""
    return read_film(path)[0]


def read_film(path: Path) -> tuple[np.ndarray, str]:
    """Grey film, uint8 (H, W), from a PNG or JPEG of any mode; and how it was turned, "" if not.

    As published, colour comes from ``convert("RGB")``, which drops alpha; the three channels are
    then weighted to one (the identity for grey films). 16-bit greys are scaled by 255/65535. The
    film is turned as its EXIF says; what stands in the file behind the image's end is ignored.
    Raises DataError if the file is absent, not such an image, damaged, over 64 megapixels, made to
    keep the decoder busy, or holds fewer pixels than its header says.
    A failing disk (any other errno) raises its OSError, for that says nothing about the film.
    """
    shown = printable(str(path))
    try:
        return _decode(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{shown}: not found") from None
        if isinstance(error, PermissionError):
            raise DataError(f"{shown}: permission denied") from None
        if error.errno is not None:
            raise
        if isinstance(error, UnidentifiedImageError):
            raise DataError(f"{shown}: {why_no_image(path)}") from None
        raise DataError(f"{shown}: damaged or truncated: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{shown}: too large: {error}") from error
    except DataError as error:
        raise DataError(f"{shown}: {error}") from error.__cause__
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders let SyntaxError, zlib.error, struct.error ... out
        raise DataError(f"{shown}: damaged: {error}") from error


def _decode(path: Path) -> tuple[np.ndarray, str]:
    if check_file(path, MAX_BYTES) == 0:
        raise DataError("the file is empty")
    stream = _image_alone(path.read_bytes())
    with Image.open(io.BytesIO(stream), formats=READABLE_FORMATS) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise DataError(f"the image has no pixels ({width} x {height})")
        if width * height > MAX_PIXELS:
            raise DataError(f"too large: {width} x {height} pixels, at most {MAX_PIXELS} are read")
        image.verify()  # checksums of all PNG chunks, which decoding alone skips
    with Image.open(io.BytesIO(stream), formats=READABLE_FORMATS) as image:
        grey = _grey(image)
        if image.format == "PNG":
            whole = is_whole_png(stream, grey)
        else:
            whole = _same_with_more_data(stream, grey)
        if not whole:
            raise DataError("damaged or truncated: fewer pixels than its header says")
        return upright(grey, image)


def _same_with_more_data(jpeg: bytes, grey: np.ndarray) -> bool:
    with Image.open(io.BytesIO(with_more_data(jpeg)), formats=["JPEG"]) as image:
        return np.array_equal(_grey(image), grey)


def _grey(image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        return _GREY_OF_16_BITS[deep if deep.dtype == np.uint16 else deep.clip(0, 65535)]
    return np.array(image if image.mode == "L" else image.convert("RGB").convert("L"))


def _image_alone(content: bytes) -> bytes:
    """A PNG or JPEG without what follows its end.

    Before it is opened as an image, for that reads all chunks that precede the pixels.
    """
    if content.startswith(_PNG):
        for count, (kind, _, stop) in enumerate(png_chunks(content), 1):
            if count > MAX_PNG_CHUNKS:
                raise DataError(f"more than {MAX_PNG_CHUNKS} chunks: save the film anew")
            if kind == PNG_END:
                return content[:stop]
    elif content.startswith(_JPEG):
        scans = 0
        for count, (marker, _, stop) in enumerate(jpeg_segments(content), 1):
            scans += marker == JPEG_SCAN
            if scans > MAX_JPEG_SCANS:
                raise DataError(f"more than {MAX_JPEG_SCANS} scans: save the film anew")
            if count > MAX_JPEG_SEGMENTS:
                raise DataError(f"more than {MAX_JPEG_SEGMENTS} segments: save the film anew")
            if marker == JPEG_END:
                return content[:stop]
        raise DataError("damaged or truncated: the image lacks its end")
    return content
