# SPDX-License-Identifier: Apache-2.0
"""`make bench` tells the truth: answers are held against their frames, and failures are told."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("rclpy")

from benchmarks.node_speed import report, summary
from benchmarks.node_speed.aims import aims
from benchmarks.node_speed.answers import (
    Answers,
    PictureJudge,
    Run,
    Samples,
    covered,
    judge_null,
    match,
)
from benchmarks.node_speed.camera_process import Sent
from benchmarks.node_speed.measurements import IMAGES, Plan, answered_rate
from benchmarks.node_speed.null_backend import NullBackend, TimedBackend
from benchmarks.node_speed.pictures import read_mark, write_mark
from benchmarks.node_speed.soak import verdict
from benchmarks.node_speed.subscriber_process import Arrival, grid_sample
from benchmarks.node_speed.summary import median, percentiles, ratio, slope
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.model_card import ModelCard, read_model_card
from mtinet_ros.perception.predictor import Predictor

MS = 1_000_000


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return read_model_card(bundled_model())


def answers_of(card: ModelCard, camera: int, counter: int) -> dict[str, np.ndarray]:
    """Samples of what a null backend answers to a frame."""
    image = np.zeros((480, 640, 3), np.uint8)
    write_mark(image, camera, counter)
    predictor = Predictor(NullBackend(card, 1))
    (prediction,) = predictor.predict([image], [None])
    arrays = (prediction.labels, prediction.depth, prediction.normals)
    return {
        topic: grid_sample(array.reshape(*prediction.size, -1))
        for topic, array in zip(IMAGES, arrays, strict=True)
        if array is not None
    }


def arrivals_of(samples: Mapping[str, np.ndarray], camera: int, stamp: int) -> list[Arrival]:
    """Messages with these samples on a camera's topics, 10 ms after the stamp and 1 ms apart."""
    return [
        Arrival(camera, output, stamp, f"camera{camera}_optical_frame", time, sample)
        for time, (output, sample) in enumerate(samples.items())
        for time in (stamp + (10 + time) * MS,)
    ]


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (256, 352)])
def test_a_mark_is_read_as_painted(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    write_mark(image, 7, 3 << 8 | 200)
    assert read_mark(image) == (7, 3 << 8 | 200)


@pytest.mark.parametrize("size", [(480, 640), (720, 1280)])
def test_a_mark_survives_the_way_into_the_network(card: ModelCard, size: tuple[int, int]) -> None:
    predictor = Predictor(NullBackend(card, 2))
    batch = predictor.new_batch()
    image = np.full((*size, 3), 99, np.uint8)
    write_mark(image, 5, 517)
    predictor.preprocess(batch, image, None)
    assert read_mark(batch.images[0]) == (5, 517)


def test_a_null_backend_has_what_the_topics_of_the_model_ask_for(card: ModelCard) -> None:
    session = onnxruntime.InferenceSession(bundled_model(), providers=["CPUExecutionProvider"])
    backend = NullBackend(card, 1)
    assert {output.name for output in session.get_outputs()} == set(backend.output_names)
    assert set(backend.infer(backend.new_images(), backend.output_names)) == {
        "labels", "normals", "depth", "confidence"
    }  # fmt: skip


def test_answers_of_their_own_frames_are_right(card: ModelCard) -> None:
    arrivals = [
        *arrivals_of(answers_of(card, 0, 4), 0, 1000),
        *arrivals_of(answers_of(card, 1, 9), 1, 2000),
    ]
    sent = {0: [Sent(4, 1000)], 1: [Sent(9, 2000), Sent(10, 3000)]}
    found = match(sent, arrivals, [], IMAGES, judge_null)
    assert found.problems == []
    assert [round(answer.latency) for answer in found.answers] == [12, 12]
    assert found.missing == 1


def test_a_node_that_swaps_cameras_is_caught(card: ModelCard) -> None:
    sent = {0: [Sent(4, 1000)], 1: [Sent(4, 2000)]}
    pixels_only = arrivals_of(answers_of(card, 1, 4), 0, 1000)
    assert "camera0, frame 4" in match(sent, pixels_only, [], IMAGES, judge_null).problems[0]
    topics_too = arrivals_of(answers_of(card, 1, 4), 0, 2000)
    assert "of no frame" in match(sent, topics_too, [], IMAGES, judge_null).problems[0]


def test_a_node_that_answers_with_an_older_frame_is_caught(card: ModelCard) -> None:
    arrivals = arrivals_of(answers_of(card, 0, 3), 0, 1000)
    assert match({0: [Sent(4, 1000)]}, arrivals, [], IMAGES, judge_null).problems


def test_a_frame_answered_twice_is_told(card: ModelCard) -> None:
    arrivals = 2 * arrivals_of(answers_of(card, 0, 4), 0, 1000)
    problems = match({0: [Sent(4, 1000)]}, arrivals, [], IMAGES, judge_null).problems
    assert all("twice" in problem for problem in problems)
    assert len(problems) == 3


def test_a_models_answer_to_another_picture_is_caught() -> None:
    rng = np.random.default_rng(0)
    expected: dict[tuple[int, int], Samples] = {
        (camera, picture): {"depth/image": rng.uniform(1, 5, (12, 16, 1))}
        for camera in range(2)
        for picture in range(3)
    }
    judge = PictureJudge(expected)
    noisy = {"depth/image": np.asarray(expected[1, 2]["depth/image"]) * 1.05}
    assert judge(1, 5, noisy) == ""
    assert "picture 2 of camera1" in judge(0, 5, noisy)


def test_overhead_is_what_no_inference_covers(card: ModelCard) -> None:
    runs = [Run(-5 * MS, 2 * MS, ()), Run(4 * MS, 9 * MS, ()), Run(8 * MS, 10 * MS, ())]
    arrivals = arrivals_of(answers_of(card, 0, 4), 0, 0)
    (answer,) = match({0: [Sent(4, 0)]}, arrivals, runs, IMAGES, judge_null).answers
    assert (answer.latency, answer.overhead) == pytest.approx((12.0, 4.0))


def test_no_run_covers_nothing() -> None:
    nothing = np.zeros(0, np.int64)
    assert covered(nothing, nothing, 0, 10) == 0


def test_runs_are_written_with_their_frames(tmp_path: Path, card: ModelCard) -> None:
    from benchmarks.node_speed.answers import read_runs

    backend = TimedBackend(NullBackend(card, 2, inference_ms=5.0), tmp_path / "runs")
    images = backend.new_images()
    for slot in range(2):
        write_mark(images[slot], slot, 300 + slot)
    assert set(backend.begin(images, ("labels",)).outputs()) == {"labels"}
    (run,) = read_runs(tmp_path / "runs")
    assert run.frames == ((0, 300), (1, 301))
    assert run.ended - run.begun >= 5 * MS


def test_failed_rounds_enter_no_median_and_no_ratio() -> None:
    ours = [{"round": 0, "x": 2.0}, {"round": 1, "x": 4.0}]
    plain = [{"round": 0, "x": 20.0}, {"round": 1, "x": 1.0, "failure": "it died"}]
    assert median(plain, "x") == 20.0
    assert ratio(plain, ours, "x") == 10.0
    assert median([{"round": 0, "failure": "it died"}], "x") is None
    assert report.cell(None) == "failed"


@pytest.mark.parametrize("module", [report, summary])
def test_examples_are_right(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_percentiles_are_those_of_numpy() -> None:
    assert percentiles(list(range(101))) == {"p50": 50.0, "p90": 90.0, "p99": 99.0}


def test_answered_rate_counts_answers_while_frames_come() -> None:
    from benchmarks.node_speed.answers import Answer

    stamps = [i * 10 * MS for i in range(101)]
    answered = [Answer(0, stamp, 1.0, 1.0) for stamp in stamps[::2]]
    assert answered_rate(Answers(answered, 101, []), stamps) == pytest.approx(50, abs=1.5)


def samples(growth: float = 0.0, files: float = 20.0) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [
        {
            "minute": minute / 6,
            "rss_mib": 400 + growth * minute / 6 + rng.normal(0, 1),
            "files": files,
            "threads": 12,
            "latency_p50": 60 + rng.normal(0, 2),
        }
        for minute in range(180)
    ]


def test_the_verdict_on_flat_series_is_flat() -> None:
    assert verdict(samples())["flat"] is True


def test_a_leak_is_found_though_the_series_is_noisy() -> None:
    found = verdict(samples(growth=1.0))  # MiB per minute
    assert found["flat"] is False
    assert found["rss_mib"]["growth"] == pytest.approx(27, abs=2)


def test_the_slope_ignores_an_outlier() -> None:
    assert slope([0, 1, 2, 3, 4, 5], [0, 0, 0, 500, 0, 0]) == 0.0


def test_tables_tell_failures_and_missing_frames() -> None:
    row = {"is_null": True, "height": 480, "cameras": 1, "round": 0, "sent": 10, "missing": 1}
    row |= {"latency_p50": 5.0, "overhead_p50": 5.0, "cpu_ms": 3.0}
    rows = [
        {**row, "contestant": "ours", "missing": 0},
        {**row, "contestant": "plain", "latency_p50": 50.0, "overhead_p50": 50.0},
        {**row, "contestant": "plain_profile", "failure": "it died"},
    ]
    line = report.overhead_table(rows).splitlines()[-1]
    assert "| 5.0 |" in line
    assert "50.0, 1 of 10 frames missing" in line
    assert "| 10.0 |" in line
    assert "failed" in line


def test_an_aim_that_one_setting_misses_is_not_reached() -> None:
    row = {"is_null": True, "height": 480, "round": 0, "sent": 10, "missing": 0, "cpu_ms": 3.0}
    rows = [
        {**row, "cameras": cameras, "contestant": name, "overhead_p50": overhead}
        for cameras, name, overhead in (
            (1, "ours", 5.0),
            (8, "ours", 6.1),
            (1, "plain", 50.0),
            (8, "plain", 61.0),
        )
    ]
    found = {line[0]: line[1:] for line in aims({"latency": rows}, {1: 150.0, 8: 120.0})}
    assert found["640×480: overhead p50 ≤ 6 ms"] == ["5.0 to 6.1", "no"]
    assert found["640×480: ≥ 5 × less than the plain node"] == ["10.0", "yes"]
    assert found["ceiling ≥ 100 frames/s"] == ["120.0 to 150.0", "yes"]


@pytest.mark.ros
@pytest.mark.parametrize("name", ["ours", "plain_profile"])
def test_a_short_run_measures_both_nodes(
    name: str, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from domain_coordinator import domain_id

    from benchmarks.node_speed.world import Contestant, World

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with domain_id() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        contestant = Contestant(name, "null", bundled_model(), card)
        with World(contestant, 1) as world:
            pid = world.pid
            world.listen(1, (480, 640), IMAGES)
            phase = world.phase(1, (480, 640), 10.0, 10, patience=3.0)
    found = match(phase.sent, phase.arrivals, phase.runs, IMAGES, judge_null)
    assert found.problems == []
    assert len(found.answers) >= 8
    assert 0.0 < phase.cpu_seconds < 10.0
    assert not Path(f"/proc/{pid}").exists()


def test_the_whole_plan_is_what_the_page_promises() -> None:
    assert Plan().cameras == (1, 2, 4, 8)
    assert Plan().sizes == ((480, 640), (720, 1280))
