"""Decoding in a process of its own, with limits: damaged streams end it, or fill its memory.

Started as a script by path, so that a film costs no more than the import of pydicom.
"""

import io
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from pydicom.pixels import pixel_array

SECONDS = 900  # ours, on the wall: a machine may be busy with other things
CPU_SECONDS = 10  # ours: ten times what the largest films of CR and DX detectors take
MEMORY = 2 * 10**9  # ours, in bytes of address space
FILLED_UP = (b"premature end of data", b"bad Huffman code")  # gdcm's warnings, no errors of its own


def decode_isolated(path: Path, decoder: str) -> np.ndarray:
    """Stored pixels (H, W) of a DICOM file by a plugin of pydicom. Raises ValueError for none."""
    command = [sys.executable, "-I", __file__, str(path), decoder]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    except subprocess.SubprocessError as error:
        raise ValueError("the decoder ended without an image") from error
    if any(word in done.stderr for word in FILLED_UP):
        raise ValueError("the decoder filled up what is not there")
    return np.load(io.BytesIO(done.stdout), allow_pickle=False)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    found = io.BytesIO()  # a pipe has no position, which numpy asks for
    pixels = pixel_array(sys.argv[1], decoding_plugin=sys.argv[2], correct_unused_bits=False)
    np.save(found, pixels)
    sys.stdout.buffer.write(found.getbuffer())
