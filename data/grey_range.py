"""Films that show nothing: nearly black, white or flat, or nearly all clipped, for any reason.

Values of 12 bits in a file of 16, a window beside all values, a blank exposure: nothing else says a
word of them. On 393 real films (NIH, Cohen, Montgomery, Shenzhen) percentiles 1 and 99 lie at least
107 levels apart, the first at most at 110, the second at least at 146, and at most .66 of a film is
black or white.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FEW_LEVELS = 32  # ours: an eighth of the range; 12 bits in 16 span 16 levels, 13 bits 32
DARK, BRIGHT = 64, 191  # ours: quarters of the range; 14 bits in 16 end at 63
NEARLY_ALL = 0.9  # ours: of the pixels
END = 3  # ours: levels at either end that count as black or white; JPEG blurs them


def grey_doubt(film: NDArray[np.uint8]) -> str:
    """What is doubtful about the greys of a film (H, W) as it was read, "" for nothing."""
    share = np.array(Image.fromarray(film).histogram()) / film.size
    low, high = (int(np.searchsorted(share.cumsum(), part)) for part in (0.01, 0.99))
    if high - low <= FEW_LEVELS or high < DARK or low > BRIGHT:
        return (
            f"shows almost nothing: percentiles 1 and 99 are {low} and {high} of 255; blank, "
            "fewer bits than the file says, or a window beside the values"
        )
    clipped = share[:END].sum() + share[-END:].sum()
    if clipped >= NEARLY_ALL:
        return f"{clipped:.0%} of the pixels are black or white, as under a window too narrow"
    return ""
