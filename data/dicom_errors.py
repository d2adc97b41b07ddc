"""Why a DICOM file cannot be used, each reason with a name."""

from data.integrity import DataError


class DicomError(DataError):
    """A DICOM file that cannot be used."""


class NoPixelData(DicomError):
    """It holds no image, or not the whole of a compressed one."""


class UnknownPhotometricInterpretation(DicomError):
    """Its values are not one grey each."""


class MultiFrame(DicomError):
    """It holds several images."""


class DamagedPixelData(DicomError):
    """Its pixels end early, or are not those that the header announces."""


class TooManyPixels(DicomError):
    """Decoding it would fill the memory."""


class UnsupportedTransferSyntax(DicomError):
    """No installed decoder reads its compression."""
