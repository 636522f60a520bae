# SPDX-License-Identifier: Apache-2.0
"""Figures of an evaluation against ones worked out by hand, and how they are kept and compared."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.evaluation import DensePrediction, evaluate
from mtinet_ros.training.evaluation_comparison import compare, comparison_tables
from mtinet_ros.training.evaluation_gain import against_single_tasks
from mtinet_ros.training.evaluation_gallery import Gallery
from mtinet_ros.training.evaluation_page import comparison_page, is_page, report_page
from mtinet_ros.training.evaluation_report import (
    EvaluatedData,
    EvaluatedModel,
    FrameFigures,
    Report,
    read_report,
    to_json,
    to_record,
)
from mtinet_ros.training.evaluation_tables import as_text, report_tables
from mtinet_ros.training.metrics import multi_task_performance

PALETTE = ((200, 0, 0), (0, 200, 0), (0, 0, 200))


class Stills:
    """Samples made of rows of truth."""

    class_names = ("wall", "floor", "lamp")
    palette = PALETTE
    attribution = ()

    def __init__(self, **targets: list) -> None:
        self.targets = {task: np.array(rows) for task, rows in targets.items()}

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def __getitem__(self, index: int, /) -> Sample:
        reals = ("depth", "normals")
        targets = {
            task: rows[index][None].astype(np.float32 if task in reals else np.uint8)
            for task, rows in self.targets.items()
        }
        height, width = next(iter(targets.values())).shape[:2]
        return Sample(np.full((height, width, 3), 90, np.uint8), targets, None)

    def videos(self) -> list[list[int]]:
        return []


class Answers:
    """A predictor that says what it was told, frame by frame."""

    def __init__(self, *, is_metric: bool = True, **rows: list) -> None:
        self.rows = rows
        self.is_metric = is_metric
        self.frame = 0

    def __call__(self, image: np.ndarray, _lens: Intrinsics | None) -> DensePrediction:
        ids = ("labels", "human_parts", "confidence")
        frame = {
            name: np.array(rows[self.frame], np.uint8 if name in ids else np.float32)[None]
            for name, rows in self.rows.items()
        }
        self.frame += 1
        return DensePrediction(**frame, depth_is_metric=self.is_metric)


def data(**changes: object) -> EvaluatedData:
    described = EvaluatedData("nyud", "nyud", "test", None, Stills.class_names, PALETTE)
    return replace(described, **changes)  # type: ignore[arg-type]


def measured(source: Stills, answers: Answers, **options: object) -> Report:
    report = evaluate(answers, source, range(len(source)), 3, **options)  # type: ignore[arg-type]
    return replace(report, data=data(), model=EvaluatedModel("m", "m.onnx", "f00", "fp32"))


TRUTH = Stills(semseg=[[0, 0, 1, 255], [1, 1, 1, 1]])
SEEN = {"labels": [[0, 1, 1, 2], [1, 1, 1, 0]]}


def test_a_class_that_never_occurs_counts_in_one_mean_and_not_in_the_other():
    report = measured(TRUTH, Answers(**SEEN))
    # wall: 1 right, 1 taken for floor, 1 floor taken for it. floor: 4 right, 1 + 1 wrong.
    assert report.confusion == [[1, 1, 0], [1, 4, 0], [0, 0, 0]]
    assert report.class_iou == pytest.approx([1 / 3, 4 / 6, 0])
    assert report.metrics["semseg_miou"] == pytest.approx(1 / 3)
    assert report.metrics["semseg_miou_present"] == pytest.approx(1 / 2)
    assert report.metrics["semseg_accuracy"] == pytest.approx(5 / 7)
    assert report.class_pixels == [2, 5, 0]
    assert report.absent_classes == ["lamp"]


def test_a_frame_is_ranked_by_the_classes_that_are_in_it():
    report = measured(TRUTH, Answers(**SEEN), frame_name="frame {}".format)
    first, second = report.frame_figures
    assert (first.name, second.name) == ("frame 0", "frame 1")
    assert first.miou == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert second.miou == pytest.approx(3 / 4)  # wall is not in it, though it is predicted


def test_depth_is_told_apart_by_distance():
    truth = [0.5, 1.0, 1.5, 2.5, 4.0, 8.0, 12.0, 0.0]
    seen = [1.0, 1.0, 1.5, math.nan, 5.0, 4.0, 12.0, 3.0]
    report = measured(Stills(depth=[truth]), Answers(depth=[seen]))
    near, second, third, middle, far, beyond = report.depth_by_distance
    assert near == pytest.approx(
        {"from": 0, "to": 1, "share": 2 / 7, "rmse": math.sqrt(0.25 / 2), "abs_rel": 0.5,
         "delta1": 0.5}
    )  # fmt: skip
    assert second == {"from": 1, "to": 2, "share": 1 / 7, "rmse": 0, "abs_rel": 0, "delta1": 1}
    assert third == {"from": 2, "to": 3, "share": 1 / 7}  # nothing predicted there
    assert (middle["rmse"], middle["abs_rel"], middle["delta1"]) == (1, 0.25, 0)
    assert (far["rmse"], far["abs_rel"], far["delta1"]) == (4, 0.5, 0)
    assert (beyond["from"], beyond["to"], beyond["rmse"]) == (10, math.inf, 0)
    assert report.metrics["depth_rmse"] == pytest.approx(math.sqrt((0.25 + 1 + 16) / 6))
    assert report.metrics["depth_log_rmse"] == pytest.approx(
        math.sqrt((math.log(2) ** 2 + math.log(1.25) ** 2 + math.log(2) ** 2) / 6)
    )
    assert report.metrics["depth_coverage"] == pytest.approx(6 / 7)


def test_wrong_scales_show_in_their_spread_and_not_in_what_is_scaled():
    source = Stills(depth=[[1.0, 2.0, 3.0]] * 3)
    answers = Answers(depth=[[0.5, 1.0, 1.5], [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    report = measured(source, answers)
    assert [frame.depth_scale for frame in report.frame_figures] == pytest.approx([2, 1, 0.5])
    # Percentiles between the sorted scales 0.5, 1, 2: 16 % is 0.32 steps on, 84 % is 1.68.
    assert report.depth_scale == pytest.approx({"median": 1, "p16": 0.66, "p84": 1.68})
    assert report.metrics["depth_aligned_rmse"] == pytest.approx(0, abs=1e-6)
    assert report.metrics["depth_aligned_delta1"] == 1
    # Halved: off by 0.5, 1, 1.5; doubled: off by 1, 2, 3.
    assert report.metrics["depth_rmse"] == pytest.approx(math.sqrt((3.5 + 0 + 14) / 9))
    assert report.metrics["depth_delta1"] == pytest.approx(1 / 3)


def test_depth_without_metres_has_scales_and_no_figure_in_metres():
    answers = Answers(depth=[[10.0, 20.0, 30.0]], is_metric=False)
    report = measured(Stills(depth=[[1.0, 2.0, 6.0]]), answers)
    assert report.depth_scale == pytest.approx({"median": 0.1, "p16": 0.1, "p84": 0.1})
    assert not any("rmse" in key for key in report.metrics)
    assert not any("rmse" in entry for entry in report.depth_by_distance)
    # Scaled to 1, 2, 3: the last is half of the truth.
    assert report.depth_by_distance[4]["abs_rel"] == pytest.approx(0.5)
    assert report.frame_figures[0].depth_rmse is None
    assert report.frame_figures[0].depth_abs_rel == pytest.approx(0.5 / 3)


def test_frames_of_which_nothing_is_known_break_nothing():
    source = Stills(semseg=[[255, 255]], depth=[[0.0, 0.0]])
    report = measured(source, Answers(labels=[[0, 1]], depth=[[1.0, 2.0]]))
    assert report.metrics == {}
    assert report.frame_figures == [FrameFigures("0")]
    assert report_page(report, [])


def gallery(count: int, frames: int) -> Gallery:
    """Frame i of ten pixels has i wrong ones; those in the middle are the least and most wrong."""
    kept = Gallery(count)
    order = sorted(range(frames), key=lambda i: (i * 7) % frames)
    source = Stills(semseg=[[0] * 10] * frames)
    answers = Answers(labels=[[1] * i + [0] * (10 - i) for i in order])
    measured(source, answers, observe=kept.offer, frame_name=lambda i: f"{order[i]} wrong")
    return kept


def test_the_worst_and_the_best_frames_are_shown_and_no_more():
    worst, best = gallery(2, 9).shelves()
    assert worst.title == "labels, worst"
    assert [e.figures.name for e in worst.exhibits] == ["8 wrong", "7 wrong"]
    assert [e.figures.name for e in best.exhibits] == ["0 wrong", "1 wrong"]
    assert worst.exhibits[0].truth.image.shape[1] <= 256


def test_a_montage_has_the_picture_above_and_what_was_seen_below():
    worst, _ = gallery(1, 9).shelves()
    sheet = worst.exhibits[0].montage(PALETTE)
    rows, columns = sheet.shape[0] // 2, sheet.shape[1] // 2
    assert tuple(sheet[0, columns]) == PALETTE[0]
    assert tuple(sheet[rows, columns]) == PALETTE[1]  # 8 of 10 pixels are taken for class 1
    assert sheet[rows, 0].tolist() == [45 + 115, 45, 45]  # red over gray
    assert sheet[rows, columns - 1].tolist() == [90, 90, 90]


def test_a_report_comes_back_from_its_file_as_it_was(tmp_path):
    source = Stills(semseg=[[0, 1]], depth=[[1.0, 12.0]])
    report = measured(source, Answers(labels=[[0, 1]], depth=[[1.0, 11.0]]))
    report = replace(report, data=data(crop=(1, 2, 3, 4)), notes=("a", "b"))
    path = tmp_path / "r.json"
    path.write_text(to_json(to_record(report)))
    assert read_report(path) == report
    record = json.loads(path.read_text())
    assert record["class_pixels"] == [1, 1, 0]
    assert record["absent_classes"] == ["lamp"]
    assert record["depth_by_distance"][-1]["to"] is None


def good() -> Report:
    return measured(TRUTH, Answers(**SEEN))


def better() -> Report:
    return measured(TRUTH, Answers(labels=[[0, 0, 1, 2], [1, 1, 1, 0]]))


def test_a_comparison_says_which_one_is_better():
    figures = {row.key: row for row in compare(good(), better()).figures}
    assert figures["semseg_accuracy"].difference == pytest.approx(1 / 7)
    assert figures["semseg_accuracy"].better == "b"
    classes = compare(better(), good()).classes
    assert [(row.name, row.better) for row in classes] == [("wall", "a"), ("floor", "a")]
    depths = [[2.0, 3.0]], [[1.0, 2.2]]
    a, b = (measured(Stills(depth=[[1.0, 2.0]]), Answers(depth=depth)) for depth in depths)
    rows = {row.key: row for row in (*compare(a, b).figures, *compare(a, b).distances)}
    assert rows["depth_rmse"].better == "b"  # less is better
    assert rows["depth_delta1"].better == "b"
    assert rows["depth_by_distance/1/abs_rel"].difference == pytest.approx(0.1 - 0.5)
    assert {row.better for row in compare(a, a).figures} == {""}
    text = as_text(comparison_tables(compare(good(), better()))[0])
    assert re.search(r"labels: pixel accuracy +0\.7143 +0\.8571 +\+0\.1429 +B\n", text)
    assert text.endswith("A is better in 0, B in 3 of 3")


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"kind": "rooms"}, "different kinds of data, nyud and rooms"),
        ({"split": "val"}, "different splits, test and val"),
        ({"crop": (0, 2, 0, 3)}, "whole frames and rows 0 to 1 and columns 0 to 2"),
        ({"class_names": ("a", "b")}, r"different classes, 3 \(wall, floor, lamp.* and 2 \(a, b"),
    ],
    ids=["kind", "split", "crop", "classes"],
)
def test_figures_of_different_data_are_not_compared(changes, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        compare(good(), replace(good(), data=data(**changes)))


def test_other_frames_and_other_truth_are_not_compared():
    with pytest.raises(ConfigurationError, match="different numbers of frames, 2 and 1"):
        compare(good(), measured(Stills(semseg=[[0, 1]]), Answers(labels=[[0, 1]])))
    other = Stills(semseg=[[0, 0, 1, 1], [1, 1, 1, 1]])
    with pytest.raises(ConfigurationError, match="the truth in nyud and in nyud is not the same"):
        compare(good(), measured(other, Answers(**SEEN)))


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("no JSON", "no report of"),
        ('{"frames": 1}', "no report that can be read again; name one that"),
        ('{"recording": "a.mp4", "steadiness": {}}', "it is of --steadiness, which is not shown"),
        ('{"reports": [], "differences": {}}', "again: it is of --compare; name one"),
        ('{"frames": 1, "metrics": {}, "class_iou": []}', "does not say what data it is of"),
        ('{"frames": 1, "metrics": {}, "class_iou": [], "data": {"kind": "x"}}', "is damaged"),
    ],
    ids=["text", "other", "steadiness", "comparison", "old", "damaged"],
)
def test_a_file_that_is_no_report_is_named(content, fragment, tmp_path):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ConfigurationError, match=fragment):
        read_report(tmp_path / "r.json")


HOSTILE = '<script>alert("x")</script><img src=x onerror="y">'


def test_a_page_needs_nothing_beside_it_and_runs_nothing(tmp_path):
    report = replace(
        good(),
        data=data(class_names=(HOSTILE, "floor", "lamp"), folder=HOSTILE),
        model=EvaluatedModel(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        notes=(HOSTILE,),
        frame_figures=[replace(frame, name=HOSTILE) for frame in good().frame_figures],
    )
    shelves = gallery(2, 9).shelves()
    hostile = [replace(exhibit, figures=FrameFigures(HOSTILE)) for exhibit in shelves[0].exhibits]
    shelves = [replace(shelves[0], title=HOSTILE, exhibits=tuple(hostile)), shelves[1]]
    both = comparison_page(compare(report, report), (shelves, shelves))
    for page in (report_page(report, shelves), both):
        assert "<script" not in page.lower()
        assert "onerror=" not in re.sub("&lt;.*?&gt;", "", page)
        sources = re.findall(
            r'(?:src|href|action)="?([^">\s]{0,30})', re.sub("&lt;.*?&gt;", "", page)
        )
        assert len(sources) >= 4
        assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
        assert not re.search(r"url\(|@import|https?:", page)
        assert "default-src 'none'" in page
    path = tmp_path / "page.html"
    path.write_text(both)
    assert is_page(path)
    path.write_text("<html>mine</html>")
    assert not is_page(path)


def test_a_page_shows_how_often_each_class_is_taken_for_which():
    page = report_page(good(), [])
    row = re.search(r"<tr><th>wall</th>(.*?)</tr>", page)
    assert row
    assert re.findall(r">(\d*)</td>", row[1]) == ["50", "50", ""]
    assert "rgba(24,90,157,0.50)" in row[1]
    assert "never in the truth: lamp" in page


def test_forty_classes_do_not_make_the_terminal_overflow():
    matrix = np.eye(40, dtype=int) * 90
    matrix[3, 7] = 10
    names = tuple(f"class {i}" for i in range(40))
    report = Report(1, {}, [0.9] * 40, matrix.tolist(), data=data(class_names=names, palette=()))
    text = "\n".join(as_text(table) for table in report_tables(report))
    assert max(len(line) for line in text.splitlines()) < 100
    assert re.search(r"class 3 taken for class 7 +10\.0 % +10", text)


def test_a_report_of_this_module_is_readable_on_a_page_and_in_a_terminal():
    report = good()
    text = "\n".join(as_text(table) for table in report_tables(report))
    assert re.search(r"mIoU of classes that occur +0\.5000", text)
    assert re.search(r"wall +0\.3333 +28\.6 % +2\n", text)
    assert "m (m.onnx), fp32, on 2 frames of nyud, split test" in report_page(report, [])


def test_confidence_is_set_against_what_is_right(tmp_path):
    """Of four pixels with truth three are right; 0.8 sure of one pair, 0.4 of the other."""
    seen = Answers(labels=[[0, 1, 1, 2, 2]], confidence=[[204, 204, 102, 102, 9]])
    report = measured(Stills(semseg=[[0, 1, 1, 0, 255]]), seen)
    assert report.metrics["semseg_ece"] == pytest.approx((2 * 0.2 + 2 * 0.1) / 4)
    text = "\n".join(as_text(table) for table in report_tables(report))
    assert re.search(r"expected calibration error +0\.1500", text)
    assert re.search(r"0\.33 to 0\.40 +50\.0 % +0\.4000 +0\.5000", text)
    assert "<caption>Reliability, by confidence</caption>" in report_page(report, [])
    path = tmp_path / "r.json"
    path.write_text(to_json(to_record(replace(report, data=data()))))
    assert read_report(path).reliability == report.reliability
    assert "semseg_ece" not in measured(TRUTH, Answers(**SEEN)).metrics


def test_people_saliency_and_edges_are_measured_beside_the_rest(tmp_path):
    # Two pictures; the second one shows nobody.
    source = Stills(
        human_parts=[[0, 1, 1, 255], [0, 0, 0, 0]],
        sal=[[0, 1, 1, 255], [0, 0, 0, 1]],
        edge=[[1, 0, 0, 0], [0, 0, 0, 255]],
    )
    answers = Answers(
        human_parts=[[0, 1, 0, 3], [5, 5, 5, 5]],
        sal=[[0.0, 0.95, 0.0, 1.0], [0.0, 0.0, 0.0, 0.95]],
        edge=[[0.75, 0.0, 0.25, 0.0], [0.25, 0.0, 0.0, 1.0]],
    )
    report = measured(source, answers)
    figures = report.metrics
    # Background: 1 right, 1 too many. Part 1: 1 of 2. The five others are absent and count 0.
    assert report.part_iou == pytest.approx([1 / 2, 1 / 2, 0, 0, 0, 0, 0])
    assert figures["human_parts_miou"] == pytest.approx(1 / 7)
    assert figures["human_parts_miou_present"] == pytest.approx(1 / 2)
    # IoU of the pictures: 1/2 and 1; precision 1 and 1; recall 1/2 and 1.
    assert figures["sal_miou"] == pytest.approx(3 / 4)
    assert figures["sal_maxf"] == pytest.approx(2 * 0.75 / 1.75)
    assert figures["sal_maxf_weighted"] == pytest.approx(1.3 * 0.75 / (0.3 + 0.75))
    # Above 0.25 only what is right is left, and the unknown pixel does not count.
    assert (figures["edge_odsf"], figures["edge_threshold"]) == (1, 0.26)
    first, second = report.frame_figures
    assert (first.human_parts_miou, first.sal_iou, first.edge_f) == (0.5, 0.5, 1)
    assert (second.human_parts_miou, second.sal_iou, second.edge_f) == (None, 1, None)
    text = "\n".join(as_text(table) for table in report_tables(report))
    assert re.search(r"torso +0\.0000", text)
    assert re.search(r"IoU, mean over images +0\.7500", text)
    assert re.search(r"odsF +1\.0000", text)
    page = report_page(report, [])
    assert "<caption>Saliency</caption>" in page
    assert "<caption>Parts</caption>" in page
    path = tmp_path / "r.json"
    path.write_text(to_json(to_record(report)))
    assert read_report(path) == report
    rows = {row.key for row in compare(report, report).figures}
    assert rows >= {"human_parts_miou", "sal_miou", "sal_maxf", "edge_odsf"}
    assert "edge_threshold" not in rows


def test_the_frames_with_the_worst_edges_are_shown_as_they_are_and_as_seen():
    kept = Gallery(1)
    source = Stills(edge=[[1, 0, 0, 255], [0, 1, 0, 0]], sal=[[1, 1, 0, 0]] * 2)
    answers = Answers(
        edge=[[0.0, 0.0, 0.5, 1.0], [0.0, 1.0, 0.0, 0.0]], sal=[[1.0, 1.0, 0.0, 0.0]] * 2
    )
    report = measured(source, answers, observe=kept.offer)
    shelves = {shelf.title: shelf for shelf in kept.shelves()}
    (worst,) = shelves["edges, worst"].exhibits
    assert worst.figures.name == "0"
    assert worst.truth.others["edge"][0, ::64].tolist() == [[255] * 3, [0] * 3, [0] * 3, [0] * 3]
    assert worst.predicted.others["edge"][0, 128].tolist() == [127] * 3
    assert worst.montage(PALETTE).shape[1] == 3 * 256  # picture, saliency, edges
    assert "Edges, worst" in report_page(report, kept.shelves())


def test_rmse_is_told_pooled_and_per_image():
    source = Stills(depth=[[1.0, 1.0], [1.0, 0.0]])
    report = measured(source, Answers(depth=[[2.0, 2.0], [4.0, 9.0]]))
    assert report.metrics["depth_rmse"] == pytest.approx(math.sqrt((1 + 1 + 9) / 3))
    assert report.metrics["depth_rmse_per_image"] == pytest.approx((1 + 3) / 2)


def test_a_report_of_before_there_were_six_tasks_is_still_read(tmp_path):
    record = to_record(good())
    for field in ("truth_digests", "part_iou", "single_tasks", "multi_task_performance"):
        del record[field]
    for frame in record["frame_figures"]:
        for field in ("human_parts_miou", "sal_iou", "edge_f"):
            del frame[field]
    path = tmp_path / "old.json"
    path.write_text(to_json(record))
    old = read_report(path)
    assert old == replace(good(), truth_digests={})
    assert {row.better for row in compare(old, good()).figures} == {""}


def single(task: str, figure: str, value: float, **changes: object) -> Report:
    model = EvaluatedModel(f"{task} alone")
    report = Report(2, {figure: value}, data=data(), model=model, truth_digest="d")
    return replace(report, **changes)  # type: ignore[arg-type]


MULTI = Report(
    2, {"semseg_miou": 0.376, "depth_rmse": 0.539, "normals_rmse": 30.0}, [0.4, 0.5, 0.3],
    data=data(), truth_digest="d",
)  # fmt: skip
SEMSEG = single("semseg", "semseg_miou", 0.345, class_iou=[0.3, 0.4, 0.3])
DEPTH = single("depth", "depth_rmse", 0.610)


def test_a_multi_task_network_is_set_against_single_task_ones(tmp_path):
    # The published figures: 34.5 and 0.610 alone, 37.6 and 0.539 together are +10.3 %.
    found = against_single_tasks(MULTI, [(Path("d.json"), DEPTH), (Path("s.json"), SEMSEG)])
    assert [entry.task for entry in found] == ["semseg", "depth"]
    assert [entry.gain for entry in found] == pytest.approx([8.985507, 11.639344])
    report = replace(MULTI, single_tasks=found)
    assert report.multi_task_performance == pytest.approx(10.312426)
    multi = {entry.task: entry.multi for entry in found}
    alone = {entry.task: entry.single for entry in found}
    errors = {entry.task: entry.less_is_better for entry in found}
    assert multi_task_performance(multi, alone, errors) == pytest.approx(10.312426)
    text = "\n".join(as_text(table) for table in report_tables(report))
    assert re.search(r"depth: rmse \[m\] +0\.5390 +0\.6100 +\+11\.64\n", text)
    assert re.search(r"Δm +\+10\.31", text)
    assert "Δm" in report_page(report, [])
    path = tmp_path / "r.json"
    path.write_text(to_json(to_record(report)))
    assert read_report(path) == report
    assert json.loads(path.read_text())["multi_task_performance"] == pytest.approx(10.312426)


@pytest.mark.parametrize(
    ("singles", "fragment"),
    [
        ([replace(DEPTH, data=data(split="val"))], "different splits, test and val"),
        ([replace(DEPTH, truth_digest="e")], "is not the same"),
        ([MULTI], "0.json is no report of a single-task network: it has semseg, depth"),
        ([replace(DEPTH, metrics={"flicker": 0.1})], "none of the figures"),
        ([DEPTH, DEPTH], "0.json and 1.json are both of depth"),
        ([single("edge", "edge_odsf", 0.7)], "no task is in both: the model has semseg, depth"),
    ],
    ids=["split", "truth", "several", "none", "twice", "other"],
)
def test_what_is_no_single_task_network_on_the_same_data_is_refused(singles, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        against_single_tasks(MULTI, [(Path(f"{i}.json"), r) for i, r in enumerate(singles)])


def test_models_of_other_tasks_are_compared_in_what_both_have():
    truth = {"semseg": [[0, 1]], "depth": [[1.0, 2.0]]}
    both = measured(Stills(**truth), Answers(labels=[[0, 1]], depth=[[1.0, 2.0]]))
    # The other model has no labels, so nobody merged the data's classes for it.
    finer = Stills(**{**truth, "semseg": [[7, 9]]})
    other = replace(
        measured(finer, Answers(depth=[[2.0, 3.0]])), data=data(class_names=tuple("abcdefghij"))
    )
    rows = {row.key: row.better for row in compare(both, other).figures}
    assert rows["depth_rmse"] == "a"
    assert not any("semseg" in key for key in rows)
    assert compare(both, other).classes == ()
    # Depth must still be the same.
    third = measured(Stills(semseg=[[7, 9]], depth=[[1.0, 3.0]]), Answers(depth=[[2.0, 3.0]]))
    with pytest.raises(ConfigurationError, match="is not the same"):
        compare(both, third)
