# SPDX-License-Identifier: Apache-2.0
"""A message becomes an image of a known lens; without a calibration it is still an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from support.recording_logger import RecordingLogger

from mtinet_ros.errors import InputError
from mtinet_ros.messages.image_decoder import ImageDecoder
from mtinet_ros.node.message_factory import camera_info_message, encode_image
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.raw_image import RawImage

pytestmark = pytest.mark.ros

WIDTH, HEIGHT = 64, 48
IMAGE = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def problems() -> ProblemLog:
    return ProblemLog(RecordingLogger())  # type: ignore[arg-type]


@pytest.fixture
def decoder(problems: ProblemLog) -> ImageDecoder:
    return ImageDecoder("front", "/front/image_raw", "/front/camera_info", problems)


def message() -> Image:
    return encode_image(IMAGE, "rgb8", Header())


def calibration(distortion: tuple[float, ...] = ()) -> CameraInfo:
    model = CameraModel.pinhole(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5)
    info = camera_info_message(model, Header())
    info.distortion_model = "plumb_bob"
    info.d = list(distortion or (0.0,) * 5)
    return info


def test_without_calibration_there_is_an_image_and_one_word_about_it(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    decoded = decoder.decode(message())
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is None
    assert decoded.valid_mask is None
    (problem,) = problems.current("front: ")
    assert "/front/camera_info" in problem


def test_a_calibration_gives_the_lens_and_ends_the_problem(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    decoder.decode(message())
    decoder.add_calibration(calibration())
    decoded = decoder.decode(message())
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is not None
    assert decoded.camera.K[0, 0] == 60.0
    assert problems.current("front: ") == []


def test_a_calibration_of_another_size_costs_the_lens_only(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    info = calibration()
    info.width = 2 * WIDTH
    decoder.add_calibration(info)
    decoded = decoder.decode(message())
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is None
    assert len(problems.current("front: ")) == 1


def test_a_distorted_image_is_rectified_as_opencv_does_it(decoder: ImageDecoder) -> None:
    distortion = (-0.3, 0.1, 0.0, 0.0, 0.0)
    info = calibration(distortion)
    decoder.add_calibration(info)
    decoded = decoder.decode(message())
    K = np.array(info.k).reshape(3, 3)
    maps = cv2.initUndistortRectifyMap(
        K, np.array(distortion), np.eye(3), K, (WIDTH, HEIGHT), cv2.CV_16SC2
    )
    assert np.array_equal(decoded.image, cv2.remap(IMAGE, *maps, cv2.INTER_LINEAR))
    assert decoded.camera is not None
    assert not decoded.camera.is_distorted
    assert decoded.valid_mask is not None
    assert decoded.valid_mask.shape == (HEIGHT, WIDTH)


def test_with_rectify_off_the_image_is_as_it_came_and_its_lens_has_no_distortion(
    decoder: ImageDecoder,
) -> None:
    decoder.rectify = False
    decoder.add_calibration(calibration((-0.3, 0.1, 0.0, 0.0, 0.0)))
    decoded = decoder.decode(message())
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is not None
    assert not decoded.camera.is_distorted
    assert decoded.valid_mask is None


@pytest.mark.parametrize(
    ("model", "distortion"), [("fov", (0.9,)), ("plumb_bob", (0.1, 0.1, 0.1)), ("", (0.1,))]
)
def test_an_unknown_lens_costs_metric_depth_and_never_the_picture(
    decoder: ImageDecoder, problems: ProblemLog, model: str, distortion: tuple[float, ...]
) -> None:
    info = calibration(distortion)
    info.distortion_model = model
    decoder.add_calibration(info)
    decoded = decoder.decode(message())
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is None
    (problem,) = problems.current("front: ")
    assert "cannot be rectified" in problem


def test_zeros_of_an_unknown_lens_do_not_make_it_a_pinhole(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    info = calibration()
    info.distortion_model = "omnidirectional"
    decoder.add_calibration(info)
    assert decoder.decode(message()).camera is None
    (problem,) = problems.current("front: ")
    assert "omnidirectional" in problem


def test_a_distortion_that_leaves_nothing_of_the_image_is_not_applied(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    """All labels would be void, with diagnostics all well."""
    decoder.add_calibration(calibration((-50.0, 0.0, 0.0, 0.0, 0.0)))
    decoded = decoder.decode(message())
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is None
    (problem,) = problems.current("front: ")
    assert "as no lens does" in problem


def test_an_unusable_lens_is_logged_once_not_with_every_frame() -> None:
    logger = RecordingLogger()
    problems = ProblemLog(logger)  # type: ignore[arg-type]
    decoder = ImageDecoder("front", "/front/image_raw", "/front/camera_info", problems)
    info = calibration((0.9,))
    info.distortion_model = "fov"
    decoder.add_calibration(info)
    for _ in range(20):
        decoder.decode(message())
    assert len(logger.lines) == 1


def test_two_modes_of_a_camera_on_one_topic_keep_apart(decoder: ImageDecoder) -> None:
    """Else depth would alternate between two scales."""
    half = calibration()
    half.width, half.height, half.k[0], half.k[4], half.p[0], half.p[5] = 32, 24, 25, 25, 25, 25
    for _ in range(3):
        for info in (calibration(), half):
            decoder.add_calibration(info)
            camera = decoder.decode(message()).camera
            assert camera is not None
            assert camera.K[0, 0] == 60.0


def test_a_calibration_of_half_the_size_is_scaled_with_a_word(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    half = calibration()
    half.width, half.height = WIDTH // 2, HEIGHT // 2
    half.k = [30.0, 0, 15.5, 0, 30.0, 11.5, 0, 0, 1]
    half.p = [30.0, 0, 15.5, 0, 0, 30.0, 11.5, 0, 0, 0, 1, 0]
    decoder.add_calibration(half)
    camera = decoder.decode(message()).camera
    assert camera is not None
    # Twice the pixels: the middle of 32 columns, 15.5, is the middle of 64, 31.5.
    assert (camera.K[0, 0], camera.K[0, 2], camera.K[1, 2]) == (60.0, 31.5, 23.5)
    (problem,) = problems.current("front: ")
    assert "is for 32x24 pixels" in problem


def test_without_distortion_depth_and_points_have_one_lens_whatever_k_says(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    info = calibration()
    info.p = [50.0, 0, 30.0, -5.0, 0, 50.0, 20.0, 0, 0, 0, 1, 0]
    decoder.add_calibration(info)
    camera = decoder.decode(message()).camera
    assert camera is not None
    assert np.array_equal(camera.K, camera.P[:, :3])
    assert camera.K[0, 0] == 50.0  # as image_geometry has it
    assert len(problems.current("front: ")) == 1


def test_a_squashed_picture_is_told(decoder: ImageDecoder, problems: ProblemLog) -> None:
    info = calibration()
    info.k[4] = info.p[5] = 45.0
    decoder.add_calibration(info)
    assert decoder.decode(message()).camera is not None
    (problem,) = problems.current("front: ")
    assert "fx is 60.0 and fy 45.0" in problem


def test_a_rectified_topic_that_says_it_is_distorted_is_doubted(problems: ProblemLog) -> None:
    decoder = ImageDecoder("front", "/front/image_rect_color", "/front/camera_info", problems)
    decoder.add_calibration(calibration((-0.3, 0.1, 0.0, 0.0, 0.0)))
    decoder.decode(message())
    (problem,) = problems.current("front: ")
    assert "rectify: off" in problem
    decoder.rectify = False
    decoder.decode(message())
    assert problems.current("front: ") == []


def test_a_raw_topic_that_is_said_to_be_rectified_is_doubted(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    decoder.rectify = False
    info = calibration((-0.3, 0.1, 0.0, 0.0, 0.0))
    decoder.add_calibration(info)
    assert decoder.decode(message()).camera is not None
    (problem,) = problems.current("front: ")
    assert "/front/image_raw" in problem
    info.p = [0.0] * 12
    assert decoder.decode(message()).camera is None, "K is that of the bent image"
    assert len(problems.current("front: ")) == 1


def test_the_lens_that_is_used_is_the_one_whose_aspect_is_told(
    decoder: ImageDecoder, problems: ProblemLog
) -> None:
    info = calibration((-0.1, 0.0, 0.0, 0.0, 0.0))
    info.p[0], info.p[5] = 50.0, 60.0
    decoder.add_calibration(info)
    decoder.decode(message())
    (problem,) = problems.current("front: ")
    assert "fx is 50.0 and fy 60.0" in problem


def test_a_new_calibration_is_taken_over(decoder: ImageDecoder) -> None:
    decoder.add_calibration(calibration((-0.3, 0.1, 0.0, 0.0, 0.0)))
    first = decoder.decode(message()).image
    decoder.add_calibration(calibration((-0.1, 0.0, 0.0, 0.0, 0.0)))
    assert not np.array_equal(decoder.decode(message()).image, first)


def test_a_compressed_image_is_decoded_too(decoder: ImageDecoder) -> None:
    png = cv2.imencode(".png", cv2.cvtColor(IMAGE, cv2.COLOR_RGB2BGR))[1].tobytes()
    assert np.array_equal(decoder.decode(CompressedImage(format="png", data=png)).image, IMAGE)


def test_half_a_message_is_refused(decoder: ImageDecoder) -> None:
    broken = message()
    broken.data = broken.data[: len(broken.data) // 2]
    with pytest.raises(InputError, match="too few"):
        decoder.decode(broken)


def test_an_image_may_stay_in_its_bytes_unless_it_is_rectified(decoder: ImageDecoder) -> None:
    decoder.keeps_raw = True
    decoder.add_calibration(calibration())
    decoded = decoder.decode(message())
    assert isinstance(decoded.source, RawImage)
    assert np.array_equal(decoded.image, IMAGE)
    assert decoded.camera is not None
    decoder.add_calibration(calibration((-0.2, 0.0, 0.0, 0.0, 0.0)))
    rectified = decoder.decode(message())
    assert isinstance(rectified.source, np.ndarray)
    assert rectified.valid_mask is not None
    decoder.keeps_raw = False
    assert np.array_equal(decoder.decode(message()).image, rectified.image)


def test_what_is_refused_is_refused_at_once_also_where_images_stay_in_their_bytes(
    decoder: ImageDecoder,
) -> None:
    decoder.keeps_raw = True
    short = message()
    short.height += 1
    with pytest.raises(InputError, match="bytes of data are too few"):
        decoder.decode(short)
    foreign = message()
    foreign.encoding = "yuv444"
    with pytest.raises(InputError, match="not supported"):
        decoder.decode(foreign)
