"""Picture files of every kind, and what becomes of those that are none."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import UPRIGHT, Geometry
from mmassist.video import Decoder, VideoConfig
from mmassist.video.picture_file import decode_picture
from tests.mmassist.video.coded import HEIGHT, WIDTH, coded_picture, read_jpeg_number

NUMBER = 2741
SMALL = VideoConfig(size=64, jpeg_quality=95, isolated=False)


def coded(number: int = NUMBER) -> Image.Image:
    return Image.fromarray(coded_picture(number)).convert("RGB")


def make(path: Path, geometry: Geometry = UPRIGHT, config: VideoConfig = SMALL) -> tuple[bytes, dict]:
    with Decoder(config) as decoder:
        stream = decoder.extract_picture(path, geometry)
        ((index, jpeg),) = list(stream)
    assert index == 0
    return jpeg, stream.info()


def problem_of(path: Path) -> str:
    with pytest.raises(ItemError) as caught:
        make(path)
    assert caught.value.kind == Kind.PERMANENT and "\n" not in caught.value.message
    return caught.value.message.removeprefix(f"{path}: ")


def decoded(jpeg: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(jpeg).astype(int)


SAVED: list[tuple[str, Callable[[Image.Image], Image.Image], dict]] = [
    ("plain.jpg", lambda p: p, {"quality": 95}),
    ("progressive.jpg", lambda p: p, {"progressive": True}),
    ("grey.jpg", lambda p: p.convert("L"), {}),
    ("cmyk.jpg", lambda p: p.convert("CMYK"), {}),
    ("untransformed.jpg", lambda p: p, {"keep_rgb": True}),
    ("several.mpo", lambda p: p, {"save_all": True, "append_images": [coded(1)]}),
    ("plain.png", lambda p: p, {}),
    ("palette.png", lambda p: p.convert("P"), {}),
    ("two.png", lambda p: p.convert("1"), {}),
    ("grey_alpha.png", lambda p: p.convert("LA"), {}),
    ("alpha.png", lambda p: p.convert("RGBA"), {}),
    ("sixteen.png", lambda p: Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 257), {}),
    ("sixteen.tif", lambda p: Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 257), {}),
    ("still.gif", lambda p: p.convert("P"), {}),
    ("animated.gif", lambda p: p.convert("P"), {"save_all": True, "append_images": [coded(1).convert("P")]}),
    ("plain.webp", lambda p: p, {}),
    ("animated.webp", lambda p: p, {"save_all": True, "append_images": [coded(1)]}),
    ("plain.bmp", lambda p: p, {}),
    ("plain.tif", lambda p: p, {"compression": "tiff_lzw"}),
    ("plain.ppm", lambda p: p, {}),
    ("plain.jp2", lambda p: p, {}),
    ("plain.avif", lambda p: p, {}),
]


@pytest.mark.parametrize(("name", "convert", "options"), SAVED, ids=[name for name, _, _ in SAVED])
def test_every_kind_of_picture_shows_what_it_shows(
    tmp_path: Path, name: str, convert: Callable[[Image.Image], Image.Image], options: dict
) -> None:
    convert(coded()).save(tmp_path / name, **options)
    jpeg, info = make(tmp_path / name)
    assert read_jpeg_number(jpeg) == NUMBER
    assert simplejpeg.decode_jpeg_header(jpeg) == (64, 64, "YCbCr", "420")
    assert (info["width"], info["height"]) == (WIDTH, HEIGHT)


def test_the_name_says_nothing_about_the_kind(tmp_path: Path) -> None:
    coded().save(tmp_path / "picture.jpg", "PNG")
    jpeg, info = make(tmp_path / "picture.jpg")
    assert read_jpeg_number(jpeg) == NUMBER and info["format"] == "PNG"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (80, 80), (10, 10, 10, 255))
    picture.paste((10, 10, 10, 0), (0, 0, 40, 80))
    if mode in ("RGBA", "LA"):
        picture.convert(mode).save(tmp_path / "p.png")
    else:
        solid = Image.new("L", (80, 80), 10)
        solid.paste(77, (0, 0, 40, 80))
        if mode == "P":
            solid.putpalette([value for value in range(256) for _ in range(3)])  # makes it a picture with a palette
        solid.convert(mode).save(tmp_path / "p.png", transparency=(77, 77, 77) if mode == "RGB" else 77)
    seen = decoded(make(tmp_path / "p.png")[0])
    assert seen[:, :30].min() > 245 and seen[:, 34:].max() < 20


def test_half_transparent_edges_are_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (200, 0, 0, 128)).save(tmp_path / "p.png")
    assert np.abs(decoded(make(tmp_path / "p.png")[0]) - (227, 127, 127)).max() <= 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("value", range(1, 9))
def test_a_camera_held_differently_gives_the_same_picture(tmp_path: Path, value: int, suffix: str) -> None:
    shown = np.asarray(coded())
    undo = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.swapaxes(0, 1),
        6: np.rot90(shown, 1),  # the tag asks for a quarter turn clockwise
        7: shown[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(shown, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(np.ascontiguousarray(undo[value])).save(tmp_path / f"p.{suffix}", exif=exif)
    jpeg, info = make(tmp_path / f"p.{suffix}")
    assert read_jpeg_number(jpeg) == NUMBER
    assert (info["width"], info["height"]) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_nonsense_orientation_is_upright(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    coded().save(tmp_path / "p.jpg", exif=exif)
    assert read_jpeg_number(make(tmp_path / "p.jpg")[0]) == NUMBER


def test_broken_exif_costs_nothing(tmp_path: Path) -> None:
    coded().save(tmp_path / "p.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert read_jpeg_number(make(tmp_path / "p.jpg")[0]) == NUMBER


def test_the_items_own_turn_comes_on_top(tmp_path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(np.rot90(coded_picture(NUMBER), -1))).save(tmp_path / "p.png")
    assert read_jpeg_number(make(tmp_path / "p.png", Geometry(90))[0]) == NUMBER
    with pytest.raises(ItemError, match="a turn by 37 degrees"):
        make(tmp_path / "p.png", Geometry(37))


def test_nothing_from_beside_the_square_gets_in(tmp_path: Path) -> None:
    pixels = np.full((60, 120), 255, np.uint8)
    pixels[:, 30:90] = 100
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert np.abs(decoded(make(tmp_path / "p.png")[0]) - 100).max() <= 1


def test_squash_keeps_the_whole_picture(tmp_path: Path) -> None:
    pixels = np.zeros((60, 120), np.uint8)
    pixels[:, :30], pixels[:, 90:] = 250, 120
    Image.fromarray(pixels).save(tmp_path / "p.png")
    seen = decoded(make(tmp_path / "p.png", Geometry(fit="squash"))[0])[:, :, 0]
    assert seen[:, :14].min() > 245 and seen[:, 18:46].max() < 8 and np.abs(seen[:, 50:] - 120).max() < 8
    with pytest.raises(ItemError, match=r"geometry\.fit is 'stretch'; it must be crop or squash"):
        make(tmp_path / "p.png", Geometry(fit="stretch"))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (10000, 10), (3, 5000), (383, 385)])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_any_size_becomes_the_full_square(tmp_path: Path, width: int, height: int, fit: str) -> None:
    Image.new("RGB", (width, height), (180, 180, 180)).save(tmp_path / "p.png")
    jpeg, info = make(tmp_path / "p.png", Geometry(fit=fit), VideoConfig(isolated=False))
    assert decoded(jpeg).shape == (384, 384, 3) and np.abs(decoded(jpeg) - 180).max() <= 1
    assert (info["width"], info["height"]) == (width, height)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int) -> bytes:
    """A file that claims a size and holds next to nothing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"\xff", "not a picture in any known format"),
        (b"a few words", "not a picture in any known format"),
        (b"<html>gone</html>", "an HTML page (a download that saved an error message), not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "a HEIF picture (HEIC), for which there is no reader"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture in any known format"),
        (png(60000, 60000), "more than 128 million pixels"),
        (png(12000, 12000), "12000 x 12000 pixels are more than 128 million"),
        (png(0, 7), "damaged (its first part is not whole)"),
        (saved(coded(), "JPEG")[:60], "damaged ("),
        (b"\xff\xd8\xff", "damaged (its first part is not whole)"),
        (png(64, 64), "damaged (image file is truncated"),
        (saved(coded().resize((400, 300)), "JPEG")[:-300], "damaged (Premature end of JPEG file)"),
        (saved(coded(), "PNG")[:-60], "damaged ("),
        (saved(coded(), "GIF")[:300], "damaged ("),
        (saved(coded(), "WEBP")[:60], "damaged ("),
        (saved(coded(), "TIFF")[:900], "damaged ("),
        (saved(Image.new("F", (9, 9)), "TIFF"), "its pixels are real numbers"),
    ],
)
def test_what_is_no_whole_picture_says_why(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "p.jpg").write_bytes(content)
    assert problem_of(tmp_path / "p.jpg").startswith(problem)


def test_what_is_no_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "file").touch()
    assert problem_of(tmp_path / "absent.jpg") == "no such file"
    assert problem_of(tmp_path / "folder.jpg") == "a folder, not a picture file"
    assert problem_of(tmp_path / "link.jpg") == "a link to gone.jpg, which does not exist"
    assert "symbolic links" in problem_of(tmp_path / "loop.jpg")
    assert problem_of(tmp_path / "pipe.jpg") == "not a regular file"
    assert problem_of(tmp_path / "file" / "p.jpg") == "Not a directory"
    assert problem_of(tmp_path / ("x" * 300)) == "File name too long"
    assert problem_of(tmp_path / "zero\0.jpg") == "no file can have such a name"
    assert problem_of(tmp_path / "half\ud800.jpg") == "no file can have such a name"


def test_a_forbidden_file_says_so(tmp_path: Path) -> None:
    coded().save(tmp_path / "p.png")
    (tmp_path / "p.png").chmod(0)
    if os.geteuid() == 0:  # to whom nothing is forbidden
        assert read_jpeg_number(make(tmp_path / "p.png")[0]) == NUMBER
    else:
        assert problem_of(tmp_path / "p.png") == "Permission denied"


def test_a_jpeg_with_broken_data_inside_is_no_picture(tmp_path: Path) -> None:
    """Pillow shows such a file as if nothing had happened."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    content = bytearray(saved(Image.fromarray(noise), "JPEG"))
    content[len(content) // 2 : len(content) // 2 + 200] = b"\x12" * 200
    (tmp_path / "p.jpg").write_bytes(content)
    Image.open(tmp_path / "p.jpg").load()
    assert problem_of(tmp_path / "p.jpg").startswith("damaged (Corrupt JPEG data")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(saved(coded(), "JPEG") + b"\0" * 100 + b"appended by some camera")
    assert read_jpeg_number(make(tmp_path / "p.jpg")[0]) == NUMBER


def test_a_disk_that_does_not_answer_is_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coded().save(tmp_path / "p.png")

    def fail(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(ItemError, match="Input/output error") as caught:
        list(decode_picture(tmp_path / "p.png", UPRIGHT, SMALL))
    assert caught.value.kind == Kind.TRANSIENT


@pytest.fixture(scope="module")
def sound() -> Iterator[list[bytes]]:
    small = coded().resize((48, 32))
    yield [saved(small, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000")]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_whatever_ends_otherwise_than_in_a_picture_or_a_reason(
    sound: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(sound)))
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(places) + 1])
    try:
        make(path)
    except ItemError as error:
        assert error.kind == Kind.PERMANENT and error.message.startswith(f"{path}: ") and "0x7" not in error.message


def test_the_same_bytes_in_and_out_of_the_decoder_process_and_every_time(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).resize((450, 300)).save(tmp_path / "p.jpg")
    inside = make(tmp_path / "p.jpg", Geometry(90), VideoConfig(isolated=False))
    assert inside == make(tmp_path / "p.jpg", Geometry(90), VideoConfig())
    assert inside == make(tmp_path / "p.jpg", Geometry(90), VideoConfig(isolated=False))


def test_one_process_serves_pictures_and_videos_and_survives_bad_ones(tmp_path: Path) -> None:
    coded().save(tmp_path / "p.png")
    (tmp_path / "bad.png").write_bytes(b"words")
    with Decoder(VideoConfig(size=64)) as decoder:
        first = list(decoder.extract_picture(tmp_path / "p.png", UPRIGHT))
        pid = decoder.pid
        for bad in (decoder.extract_picture, lambda path, geometry: decoder.extract([path], geometry)):
            with pytest.raises(ItemError):
                list(bad(tmp_path / "bad.png", UPRIGHT))
        assert list(decoder.extract_picture(tmp_path / "p.png", UPRIGHT)) == first and decoder.pid == pid
