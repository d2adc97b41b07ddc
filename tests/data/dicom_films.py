"""DICOM films as devices write them, each with a patient in its header who must not be seen."""

import io
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame

SECRET = "DOE^JANE"


def dicom(pixels: np.ndarray, bits: int = 12, **fields: object) -> Dataset:
    """An uncompressed CR film of a patient who must not be seen."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.PatientName = SECRET
    ds.PatientID = ds.InstitutionName = ds.StudyDescription = SECRET
    ds.PatientBirthDate = "19700101"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * pixels.itemsize, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.BurnedInAnnotation = "NO"
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    for name, value in fields.items():
        setattr(ds, name, value)
    return ds


def write(path: Path, ds: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def written(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def compress(path: Path, ds: Dataset, syntax: uid.UID) -> Path:
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        return encapsulated(path, ds, syntax, jpeg_lossless(ds.pixel_array, ds.BitsStored))
    ds.compress(syntax, generate_instance_uid=False)
    return write(path, ds)


def encapsulated(path: Path, ds: Dataset, syntax: uid.UID, stream: bytes) -> Path:
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    return write(path, ds)


def frame(ds: Dataset) -> bytes:
    """The compressed stream."""
    return bytes(get_frame(ds.PixelData, 0, number_of_frames=1))


def jpeg_lossless(pixels: np.ndarray, bits: int) -> bytes:
    """Process 14, selection value 1 (ITU-T T.81, annex H): differences to the left neighbour."""
    rows, columns = pixels.shape
    values = pixels.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 2 ** (bits - 1)
    code = ""
    for difference in ((values - predicted + 32768) % 65536 - 32768).ravel().tolist():
        size = abs(difference).bit_length()
        code += f"{size:05b}"  # 17 categories, each coded in five bits
        if 0 < size < 16:
            code += f"{difference if difference > 0 else difference + 2**size - 1:0{size}b}"
    code += "1" * (-len(code) % 8)
    data = int(code, 2).to_bytes(len(code) // 8, "big").replace(b"\xff", b"\xff\x00")

    def segment(marker: int, content: bytes) -> bytes:
        return bytes((255, marker)) + (len(content) + 2).to_bytes(2, "big") + content

    sides = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    frame = segment(0xC3, bytes((bits,)) + sides + b"\1\1\x11\0")
    table = segment(0xC4, bytes((0, 0, 0, 0, 0, 17, *[0] * 11, *range(17))))
    return b"\xff\xd8" + frame + table + segment(0xDA, b"\1\1\0\1\0\0") + data + b"\xff\xd9"


def film(bits: int = 12, shape: tuple[int, int] = (40, 44), seed: int = 0) -> np.ndarray:
    dtype = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=dtype)
