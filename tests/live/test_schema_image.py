"""Rows that are pictures: files or pixels, all of one size in the end."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

from perdure.live.refusals import RowRefused, TooLarge
from perdure.live.schema import Schema

COLOUR = Schema(kind="image", channels=3, height=4, width=6, open=True)
GREY = Schema(kind="image", channels=1, height=4, width=6, open=True)


def picture(channels=3, height=4, width=6):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (channels, height, width), dtype=np.uint8)


def file_of(pixels, kind="PNG", **options):
    held = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0).squeeze()))
    image.save(held, kind, **options)
    return held.getvalue()


@pytest.mark.parametrize("schema", [COLOUR, GREY])
def test_a_picture_of_the_right_size_comes_out_as_it_went_in(schema):
    """As a PNG file, as base64 of it, as a data URL, as nested lists and as an array."""
    pixels = picture(schema.channels)
    png = file_of(pixels)
    text = base64.b64encode(png).decode()
    forms = [png, bytearray(png), text, f"data:image/png;base64,{text}", pixels.tolist(), pixels]
    decoded = schema.decode(schema.encode_many(forms))
    assert torch.uint8 == decoded.dtype
    assert all(torch.equal(torch.from_numpy(pixels), image) for image in decoded)


def test_an_array_of_many_pictures_is_taken_whole():
    """Pixels (n, channels, height, width)."""
    pixels = np.stack([picture(), picture()[::-1]])
    assert np.array_equal(pixels, COLOUR.decode(COLOUR.encode_many(pixels)).numpy())
    assert (0, 3, 4, 6) == COLOUR.decode(COLOUR.encode_many([])).shape


def test_a_grey_picture_needs_no_channel():
    """(height, width) alone and many of them."""
    pixels = picture(1)
    assert GREY.encode(pixels) == GREY.encode(pixels[0]) == GREY.encode(pixels[0].tolist())
    assert GREY.encode(pixels) == bytes(GREY.encode_many(pixels)[0])
    with pytest.raises(RowRefused, match="its shape is"):
        COLOUR.encode(pixels[0])


def test_another_size_is_stretched():
    """A picture of one colour keeps it, whatever its size."""
    plain = np.full((3, 50, 20), 200, np.uint8)
    assert {200} == set(COLOUR.encode(file_of(plain)))
    assert 72 == COLOUR.row_bytes == len(COLOUR.encode(file_of(plain)))


def test_a_jpeg_is_read_and_turned_upright():
    """A camera held sideways says so in the file: 6 is a quarter turn."""
    tall = np.zeros((3, 6 * 8, 4 * 8), np.uint8)
    tall[:, : 3 * 8] = 255  # white above black; turned, the white is on the right
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = COLOUR.decode(COLOUR.encode_many([file_of(tall, "JPEG", exif=exif, quality=95)]))[0]
    assert (decoded[:, :, 4:] > 250).all()
    assert (decoded[:, :, :2] < 5).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_usual_kind_of_pixel_is_converted(mode):
    """To grey and to colour."""
    held = io.BytesIO()
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(
        held, "JPEG" if mode == "CMYK" else "PNG"
    )
    for schema in (GREY, COLOUR):
        assert min(schema.encode(held.getvalue())) > 250


def test_more_than_eight_bits_a_channel_is_refused():
    """They would be clipped, not scaled."""
    held = io.BytesIO()
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(held, "PNG")
    with pytest.raises(RowRefused, match="8 bits a channel"):
        GREY.encode(held.getvalue())


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (b"GIF89a", "is no PNG or JPEG file that can be read"),
        (b"", "is no PNG or JPEG file"),
        (file_of(picture())[:40], "is no PNG or JPEG file"),
        ("not base64!", "must be base64"),
        ("é", "must be base64"),
        (picture().tolist()[:2], "its shape is"),
        ([[[256] * 6] * 4] * 3, "give an integer from 0 to 255"),
        ([[[0.5] * 6] * 4] * 3, "give an integer from 0 to 255"),
        (None, "give numbers"),
        ({"a": 1}, "give numbers"),
    ],
)
def test_what_does_not_fit_is_named(features, said):
    """By row and reason."""
    with pytest.raises(RowRefused) as refused:
        COLOUR.encode_many([picture(), features])
    assert 1 == refused.value.row
    assert said in str(refused.value)


def test_a_damaged_file_is_refused_and_nothing_else_happens():
    """Any one byte of a file changed: it is read, or refused, or too large."""
    files = [bytearray(file_of(picture(), kind)) for kind in ("PNG", "JPEG")]
    for whole in files:
        for place in range(len(whole)):
            damaged = whole.copy()
            damaged[place] ^= 0xFF
            with suppress(RowRefused, TooLarge):
                assert 72 == len(COLOUR.encode(bytes(damaged)))


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
def test_a_small_file_of_a_huge_picture_is_refused_unread(side):
    """What a few bytes claim is not believed."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        checked = kind + data
        bomb += struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
    with pytest.raises(TooLarge, match="50,000,000 pixels"):
        COLOUR.encode(bomb)


def test_channels_that_no_file_has_come_as_pixels():
    """Five channels: pixels are fine, a file is not."""
    five = Schema(kind="image", channels=5, height=4, width=6, open=True)
    assert np.array_equal(picture(5), five.decode(five.encode_many([picture(5)]))[0].numpy())
    with pytest.raises(RowRefused, match="no file has 5 channels"):
        five.encode(file_of(picture(3)))


@pytest.mark.parametrize("schema", [COLOUR, GREY])
def test_the_example_is_valid(schema):
    """A black picture as base64."""
    assert {0} == set(schema.encode(schema.example()))
