# SPDX-License-Identifier: Apache-2.0
"""Pictures are read or refused by name; results come back as they were written."""

from __future__ import annotations

import multiprocessing
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import (
    MAX_PIXELS,
    decode_image_file,
    list_images,
    read_image,
    read_images,
    write_png,
)

RED_LEFT = np.zeros((20, 30, 3), np.uint8)
RED_LEFT[:, :15, 0] = 255
BYTES = np.random.default_rng(1).bytes(100_000)
ROOM = cv2.GaussianBlur(np.frombuffer(BYTES[:57600], np.uint8).reshape(120, 160, 3), (0, 0), 2)
ROOM = cv2.normalize(ROOM, np.empty_like(ROOM), 0, 255, cv2.NORM_MINMAX)


def test_a_picture_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", RED_LEFT)
    assert (read_image(tmp_path / "a.png") == RED_LEFT).all()


def test_labels_and_millimeters_keep_every_value(tmp_path: Path) -> None:
    for pixels in (
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16),
    ):
        write_png(tmp_path / "x.png", pixels)
        back = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)
        assert back is not None
        assert back.dtype == pixels.dtype
        assert (back == pixels).all()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("text.png", "empty.jpg", "missing.png"):
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)


def test_a_picture_cut_short_is_not_taken_for_gray(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, np.random.default_rng(0).integers(0, 255, (90, 90, 3)))[1]
        (tmp_path / f"cut{suffix}").write_bytes(data.tobytes()[:-40])
        with pytest.raises(InputError, match="cut short"):
            read_image(tmp_path / f"cut{suffix}")


def test_a_photograph_is_turned_upright_but_a_cameras_frame_is_not() -> None:
    jpeg = cv2.imencode(".jpg", RED_LEFT)[1].tobytes()
    # An EXIF block with the one entry Orientation (0x0112) = 6: turn by 90 degrees.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    data = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    array = np.frombuffer(data, np.uint8)
    assert decode_image_file(array, upright=True).shape == (30, 20, 3)
    assert decode_image_file(array, upright=False).shape == (20, 30, 3)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    png = bytearray(cv2.imencode(".png", RED_LEFT)[1].tobytes())
    png[16:24] = (60000).to_bytes(4, "big") + (60000).to_bytes(4, "big")
    jpeg = bytearray(cv2.imencode(".jpg", RED_LEFT)[1].tobytes())
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = (60000).to_bytes(2, "big") * 2
    for data in (png, jpeg):
        with pytest.raises(InputError, match=f"60000x60000 pixels.*{MAX_PIXELS}"):
            decode_image_file(np.frombuffer(bytes(data), np.uint8), upright=True)


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        list_images(tmp_path / "none")
    assert list_images(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    for target in (
        tmp_path / "missing" / "a.png",
        tmp_path / "file" / "a.png",  # its folder is a file
        tmp_path / "folder.png",  # it is a folder itself
    ):
        with pytest.raises(InputError, match="cannot write"):
            write_png(target, RED_LEFT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def jpeg(image: np.ndarray = ROOM, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def png(image: np.ndarray = ROOM) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def decode(content: bytes) -> np.ndarray:
    return decode_image_file(np.frombuffer(content, np.uint8), upright=False)


def opencv(content: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


KINDS = {
    "baseline": jpeg(),
    "progressive": jpeg(ROOM, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": jpeg(ROOM, cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    "png": png(),
}
SCANS = [name for name in KINDS if name != "png"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"\0" * 200_000, id="a driver's buffer"),
        pytest.param(b"\0\0\0\x18ftypmp42" + BYTES * 5, id="the video of a motion photo"),
        pytest.param(jpeg(ROOM[::-1]), id="a second picture"),
        pytest.param(b"\xff", id="half a marker"),
    ],
)
def test_what_lies_behind_a_whole_picture_does_not_matter(kind: str, behind: bytes) -> None:
    assert np.array_equal(decode(KINDS[kind] + behind), opencv(KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behind", [b"", b"\0" * 5000, b"\xff\xd9", b"IEND\xaeB`\x82"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_half_a_picture_is_refused_whatever_lies_behind(
    kind: str, behind: bytes, share: float
) -> None:
    content = KINDS[kind]
    with pytest.raises(InputError, match=r"cut short|damaged"):
        decode(content[: int(len(content) * share)] + behind)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_picture_with_the_end_of_another_is_refused(kind: str) -> None:
    half = KINDS[kind][: len(KINDS[kind]) // 2]
    other = png(ROOM[::-1]) if kind == "png" else jpeg(ROOM[::-1])
    for tail in (other, other[-len(other) // 4 :]):
        with pytest.raises(InputError, match=r"damaged|cut short"):
            decode(half + tail)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filler", [b"", b"\0" * 500, b"\xff" * 500, BYTES[:500]])
@pytest.mark.parametrize("at", [0.3, 0.5, 0.8])
def test_a_hole_in_a_picture_is_not_taken_for_gray(kind: str, filler: bytes, at: float) -> None:
    """A lost USB packet leaves bytes out; a bad sector puts others there."""
    begin = int(len(KINDS[kind]) * at)
    with pytest.raises(InputError, match=r"is a (damaged|jpeg that was cut short|png that was)"):
        decode(KINDS[kind][:begin] + filler + KINDS[kind][begin + 500 :])


@pytest.mark.parametrize("padding", [1, 8, 29])
def test_webcams_that_pad_their_intervals_are_not_silenced(padding: int) -> None:
    """As a Logitech C270 does before restart markers, another camera before the end."""
    content = KINDS["restarts"]
    for marker in (b"\xff\xd0", b"\xff\xd3", b"\xff\xd9"):
        at = content.rindex(marker)
        padded = content[:at] + b"\x5a" * padding + content[at:]
        assert np.array_equal(decode(padded), opencv(content))


def without(content: bytes, begin: bytes, end: bytes) -> bytes:
    """A hole from behind one marker to behind a later one."""
    return content[: content.index(begin) + 2] + content[content.index(end) + 2 :]


@pytest.mark.parametrize("padding", [0, 29])
@pytest.mark.parametrize("last", [b"\xff\xd1", b"\xff\xd4"])
def test_lost_rows_of_a_padding_webcam_are_not_taken_for_a_picture(
    padding: int, last: bytes
) -> None:
    """The harmless warning about padding comes first, and libjpeg prints no second one."""
    content = KINDS["restarts"]
    at = content.index(b"\xff\xd0")
    padded = content[:at] + b"\x5a" * padding + content[at:]
    with pytest.raises(InputError, match=r"restart markers of the scan at byte .* out of order"):
        decode(without(padded, b"\xff\xd0", last))


def test_eight_lost_rows_are_noticed_though_the_markers_still_take_turns() -> None:
    content = jpeg(np.tile(ROOM, (2, 1, 1)), cv2.IMWRITE_JPEG_RST_INTERVAL, 10)  # MCUs of a row
    first = content.index(b"\xff\xd1")
    ninth = content.index(b"\xff\xd1", first + 2)
    with pytest.raises(InputError, match="has 6 restart markers instead of 14"):
        decode(content[:first] + content[ninth:])


@pytest.mark.parametrize("interval", [1, 7, 10, 79, 80, 1000])
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("sampling", [0x411111, 0x111111, 0x211111, 0x121111, 0x221111, 0])
@pytest.mark.parametrize("size", [(120, 160), (121, 161), (7, 9), (127, 33)])
def test_whole_pictures_with_restarts_are_read_whatever_their_sampling(
    interval: int, progressive: int, sampling: int, size: tuple[int, int]
) -> None:
    room = np.pad(ROOM, ((0, 8), (0, 8), (0, 0)), mode="reflect")[: size[0], : size[1]]
    options = [cv2.IMWRITE_JPEG_RST_INTERVAL, interval, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    if sampling:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    content = jpeg(room if sampling else room[..., 0], *options)
    assert np.array_equal(decode(content), opencv(content))


def test_a_gray_camera_that_calls_its_sampling_2x2_is_read() -> None:
    """A scan of one component has MCUs of one block, whatever the sampling factors are."""
    content = bytearray(jpeg(ROOM[..., 0], cv2.IMWRITE_JPEG_RST_INTERVAL, 20))
    frame = content.index(b"\xff\xc0")
    assert content[frame + 9 : frame + 12] == b"\x01\x01\x11"
    content[frame + 11] = 0x22
    assert np.array_equal(decode(bytes(content)), opencv(bytes(content)))


@pytest.mark.parametrize("padding", [0, 29])
def test_a_camera_that_ends_its_last_interval_with_a_marker_is_read(padding: int) -> None:
    content = KINDS["restarts"]
    last = max(content.rfind(bytes((0xFF, number))) for number in range(0xD0, 0xD8))
    extra = bytes((0xFF, 0xD0 + (content[last + 1] + 1) % 8)) + b"\x5a" * padding
    content = content[:-2] + extra + content[-2:]
    assert np.array_equal(decode(content), opencv(content))


def test_lengths_of_segments_that_are_a_little_wrong_are_forgiven() -> None:
    content = jpeg()
    app0 = b"\xff\xe0\0\x08AVI1\0\0"  # and two bytes more than it says
    assert np.array_equal(decode(content[:2] + app0 + b"\0\0" + content[2:]), opencv(content))


def test_fill_bytes_before_a_marker_are_skipped() -> None:
    content = jpeg()
    assert np.array_equal(decode(content[:2] + b"\xff\xff" + content[2:]), opencv(content))


def test_a_tiny_file_that_claims_many_pixels_is_refused_before_it_gets_their_memory() -> None:
    large = bytearray(jpeg(RED_LEFT))
    frame = large.index(b"\xff\xc0")
    large[frame + 5 : frame + 9] = (16000).to_bytes(2, "big") * 2
    with pytest.raises(InputError, match="too little for 16000x16000 pixels"):
        decode(bytes(large))
    header = b"IHDR" + struct.pack(">IIBBBBB", 16000, 16000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 10_000)
    with pytest.raises(InputError, match="too little for 16000x16000 pixels"):
        decode(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (header, data, b"IEND"))))


def chunk(kind_and_data: bytes) -> bytes:
    length = struct.pack(">I", len(kind_and_data) - 4)
    return length + kind_and_data + struct.pack(">I", zlib.crc32(kind_and_data))


def test_a_chunk_that_claims_gigabytes_is_refused_at_once() -> None:
    content = bytearray(png())
    content[33:37] = b"\x7f\xff\xff\xff"  # of the chunk behind IHDR
    began = time.monotonic()
    with pytest.raises(InputError, match=r"cut short.*'IDAT' claims 21\d{8} bytes more"):
        decode(bytes(content))
    assert time.monotonic() - began < 0.1


def test_a_wrong_checksum_matters_where_pixels_depend_on_it_only() -> None:
    content = png()
    text = bytearray(chunk(b"tEXtcomment\0none"))
    text[-1] ^= 1
    assert np.array_equal(decode(content[:33] + bytes(text) + content[33:]), opencv(content))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    with pytest.raises(InputError, match="checksum of its chunk 'IDAT'"):
        decode(bytes(flipped))


NOTES = [
    b"tEXtcomment\0none",
    b"zTXtcomment\0\0" + zlib.compress(bytes(7_900_000)),
    b"iTXtcomment\0\1\0\0\0" + zlib.compress(bytes(7_900_000)),
    b"iCCPprofile\0\0" + zlib.compress(bytes(7_900_000)),
    b"prVtsomething of a vendor",
]


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note[:4].decode())
def test_a_small_file_full_of_notes_does_not_hold_up_the_camera(note: bytes) -> None:
    content = png(ROOM[:64, :64])
    full = content[:33] + chunk(note) * 500 + content[33:-12] + chunk(note) * 9 + content[-12:]
    began = time.monotonic()
    pixels = decode(full + b"behind the end")
    assert time.monotonic() - began < 1
    assert np.array_equal(pixels, opencv(content))


def test_a_png_with_notes_keeps_transparency_palette_and_orientation() -> None:
    """What is dropped changes no pixel, what pixels depend on is not dropped."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 3, 2, 8, 3, 0, 0, 0)
    turned = b"eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    needed = [
        *(b"gAMA" + struct.pack(">I", 45455), b"sRGB\0", b"PLTE\xff\0\0\0\xff\0\0\0\xff"),
        *(b"tRNS\xff\x80\0", b"bKGD\1", b"pHYs\0\0\1\0\0\0\1\0\1", turned),
    ]
    end = [b"IDAT" + zlib.compress(b"\0\0\1\2\0\2\1\0"), b"IEND"]
    start = b"\x89PNG\r\n\x1a\n"
    plain = start + b"".join(map(chunk, [header, *needed, *end]))
    noted = start + b"".join(map(chunk, [header, *NOTES, *needed, NOTES[0], *end]))
    for upright in (False, True):
        pixels = [
            decode_image_file(np.frombuffer(content, np.uint8), upright)
            for content in (plain, noted)
        ]
        assert pixels[0].shape == ((3, 2, 3) if upright else (2, 3, 3))
        assert np.array_equal(*pixels)
    assert pixels[0][0].tolist() == [[0, 0, 255], [255, 0, 0]]


def test_any_flipped_byte_gives_pixels_or_a_sentence() -> None:
    said = []
    for content in (jpeg(ROOM[:16, :16]), png(ROOM[:16, :16])):
        for at in range(len(content)):
            flipped = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
            try:
                decode(flipped)
            except InputError as error:
                said.append(str(error))
    assert said
    assert not any("\n" in sentence for sentence in said)


def test_what_libraries_print_stays_off_the_terminal_and_other_threads_keep_theirs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = KINDS["baseline"]
    ended = threading.Event()

    def log() -> None:
        while not ended.is_set():
            os.write(2, b"a line of another thread\n")
            written.append(1)

    written: list[int] = []
    thread = threading.Thread(target=log)
    thread.start()
    for _ in range(20):
        with pytest.raises(InputError, match="premature end of data segment"):
            decode(content[:5000] + content[6000:])
    ended.set()
    thread.join()
    assert capfd.readouterr().err == "a line of another thread\n" * len(written)


def test_a_forked_process_decodes_too() -> None:
    decode(KINDS["png"])  # the decoder's thread runs here
    child = multiprocessing.get_context("fork").Process(target=decode, args=(KINDS["png"],))
    child.start()
    child.join(20)
    assert child.exitcode == 0


def test_pictures_are_read_where_the_lines_of_libraries_cannot_be_caught() -> None:
    code = (
        "import ctypes, sys; ctypes.CDLL = lambda *a, **k: object()\n"
        "from mtinet_ros.image_files import read_image\n"
        "print(read_image(__import__('pathlib').Path(sys.argv[1])).shape)"
    )
    path = Path(__file__).parents[1] / "demo/pictures/kinect_bookshelf.png"
    ended = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert ended.stdout == "(480, 640, 3)\n", ended.stderr


@pytest.mark.parametrize(
    ("properties", "corners"),
    [  # by EXIF's numbers 1 to 8, as libavif and browsers turn them
        ([], "RGBK"),
        ([b"imir\x01"], "GRKB"),
        ([b"irot\x02"], "KBGR"),
        ([b"imir\x00"], "BKRG"),
        ([b"irot\x01", b"imir\x00"], "RBGK"),
        ([b"irot\x03"], "BRKG"),
        ([b"irot\x03", b"imir\x00"], "KGBR"),
        ([b"irot\x01"], "GKRB"),
    ],
)
def test_an_avif_photograph_is_turned_upright(properties: list[bytes], corners: str) -> None:
    image = np.zeros((48, 80, 3), np.uint8)
    for quarter, color in ((np.s_[:24, :40], 0), (np.s_[:24, 40:], 1), (np.s_[24:, :40], 2)):
        image[(*quarter, color)] = 255
    try:
        content = cv2.imencode(".avif", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
    except cv2.error:
        pytest.skip("this OpenCV writes no AVIF")
    data = np.frombuffer(with_properties(content, properties), np.uint8)
    upright = decode_image_file(data, upright=True)
    height, width = upright.shape[:2]
    seen = "".join(
        "RGBK"[int(np.argmax([*upright[y, x], 128]))]
        for y in (8, height - 8)
        for x in (8, width - 8)
    )
    assert seen == corners
    assert decode_image_file(data, upright=False).shape == (48, 80, 3)


@pytest.mark.parametrize("brands", [b"mif1avif", b"miafmif1avif", b"avifmif1"])
def test_an_avif_that_says_heif_first_is_turned_upright(brands: bytes) -> None:
    try:
        content = cv2.imencode(".avif", np.zeros((48, 80, 3), np.uint8))[1].tobytes()
    except cv2.error:
        pytest.skip("this OpenCV writes no AVIF")
    turned = with_properties(content, [b"irot\x01"])
    size = int.from_bytes(turned[:4], "big")
    assert len(brands) + 8 <= size
    compatible = (brands[4:] + b"avif" * 10)[: size - 16]  # as long as before: nothing moves
    turned = turned[:8] + brands[:4] + turned[12:16] + compatible + turned[size:]
    data = np.frombuffer(turned, np.uint8)
    assert decode_image_file(data, upright=True).shape == (80, 48, 3)
    assert decode_image_file(data, upright=False).shape == (48, 80, 3)


def with_properties(content: bytes, properties: list[bytes]) -> bytes:
    """An AVIF of one picture with more properties, put behind those that it has."""
    ipco = content.index(b"ipco") - 4
    ipma = content.index(b"ipma") - 4
    old = content[ipma : ipma + int.from_bytes(content[ipma : ipma + 4], "big")]
    boxes = b"".join((4 + len(p)).to_bytes(4, "big") + p for p in properties)
    size = int.from_bytes(content[ipco : ipco + 4], "big")
    inside, count = content[ipco + 8 : ipco + size], 0
    while inside:
        inside, count = inside[int.from_bytes(inside[:4], "big") :], count + 1
    assert old[12:16] == b"\0\0\0\x01"  # one picture, whose list of properties ends the box
    more = bytes(0x80 | (count + 1 + i) for i in range(len(properties)))
    new = bytearray(old + more)
    new[18] += len(more)
    new[:4] = len(new).to_bytes(4, "big")
    grown = content[: ipco + size] + boxes + content[ipco + size : ipma] + bytes(new)
    grown = bytearray(grown + content[ipma + len(old) :])
    added = len(grown) - len(content)
    for name in (b"meta", b"iprp", b"ipco"):
        at = grown.index(name) - 4
        more_here = len(boxes) if name == b"ipco" else added
        larger = int.from_bytes(grown[at : at + 4], "big") + more_here
        grown[at : at + 4] = larger.to_bytes(4, "big")
    iloc = grown.index(b"iloc") + 4  # the picture's data lies `added` further
    assert grown[iloc : iloc + 8] == b"\0\0\0\0\x44\0\0\x01"
    at = iloc + 14
    grown[at : at + 4] = (int.from_bytes(grown[at : at + 4], "big") + added).to_bytes(4, "big")
    return bytes(grown)


def test_hidden_files_and_folders_are_no_pictures(tmp_path: Path) -> None:
    write_png(tmp_path / "room.png", RED_LEFT)
    (tmp_path / "._room.png").write_bytes(b"\0\x05\x16\x07")
    (tmp_path / "x.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["room.png"]


def test_one_unreadable_picture_does_not_keep_the_others(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", RED_LEFT)
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "c.png").symlink_to(tmp_path / "gone.png")
    write_png(tmp_path / "d.png", RED_LEFT)
    refused: list[InputError] = []
    read = [path.name for path, _ in read_images(list_images(tmp_path), refused.append)]
    assert read == ["a.png", "d.png"]
    assert [("b.png" in str(e), "c.png" in str(e)) for e in refused] == [
        (True, False),
        (False, True),
    ]


def test_a_phones_heic_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
    with pytest.raises(InputError, match=r"IMG_0001\.HEIC is a HEIC picture.*convert it to jpeg"):
        read_image(path)
