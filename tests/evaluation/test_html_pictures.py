"""Guards that a picture of the page has words, and that films take no more bytes than they need."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from evaluation.html_pictures import Picture


def png(pixels: np.ndarray | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2, 3), np.uint8) if pixels is None else pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("alt", "data"), [(" ", png()), ("words", b"GIF89a")])
def test_a_picture_without_words_or_of_another_format_is_refused(alt, data):
    with pytest.raises(ValueError, match="picture"):
        Picture(alt, data)


def test_a_picture_knows_its_size():
    assert Picture("words", png()).size == (3, 2)


def test_a_picture_of_films_is_a_jpeg_where_that_is_smaller():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    film = Picture("a film", png(noise), photo=True)
    shown = base64.b64decode(film.uri.removeprefix("data:image/jpeg;base64,"))
    assert len(shown) < len(film.png)
    assert np.abs(np.asarray(Image.open(io.BytesIO(shown)), int) - noise).mean() < 10
    assert Picture("a chart", film.png).uri.startswith("data:image/png")
    assert Picture("small", png(), photo=True).uri.startswith("data:image/png")
