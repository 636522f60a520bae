# SPDX-License-Identifier: Apache-2.0
"""Every frame once, in order, whatever happens to the run."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support.recording_doubles import ColorBackend, LinesSink, ListSource

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.offline.merge import merge_shards
from mtinet_ros.offline.parts import PartLimits
from mtinet_ros.offline.run import Outcome, RunSettings, Target, process_recording
from mtinet_ros.offline.shards import Shard
from mtinet_ros.offline.state import locked
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.recordings.frame import Interval
from mtinet_ros.recordings.problem_list import Loss

SMALL_PARTS = PartLimits(frames=7)


def events(seed: int = 0, length: int = 60) -> list[tuple[int, str]]:
    """Two cameras and other messages; several things happen at one time now and then."""
    random_ = random.Random(seed)
    moment, found = 1000, []
    for _ in range(length):
        moment += random_.choice([0, 0, 1, 3, 40])
        found.append((moment, random_.choice(["front", "front", "rear", ""])))
    return found


def process(
    folder: Path,
    source: ListSource,
    is_stopped: Callable[[], bool] = lambda: False,
    **options: object,
) -> Outcome:
    folder.mkdir(exist_ok=True)
    backend = options.pop("backend", None) or ColorBackend()
    sink = options.pop("sink", None) or LinesSink(folder)
    fingerprint = options.pop("fingerprint", {"model": "a"})
    settings = RunSettings(
        **{"wanted": ("labels",), "limits": SMALL_PARTS, "keep_other_messages": True, **options}
    )
    target = Target("list", folder, is_file=False)
    return process_recording(
        source, lambda: sink, Predictor(backend), target, settings, fingerprint, is_stopped
    )


def expected(
    found: list[tuple[int, str]], bad: set[int] = frozenset(), every: int = 1
) -> list[str]:
    counts: dict[str, int] = {}
    lines = []
    for number, (moment, camera) in enumerate(found):
        if not camera:
            lines.append(f"{moment} /other {number}")
            continue
        count = counts[camera] = counts.get(camera, -1) + 1
        if number not in bad and count % every == 0:
            label = (number % 251) % 200
            lines.append(f"{moment} {moment + 5} {camera}/{number:04} {label}")
    return lines


def result(folder: Path) -> list[str]:
    return (folder / "result").read_text().splitlines()


@pytest.mark.parametrize("leaves_cpu_free", [True, False])
@pytest.mark.parametrize("every", [1, 3])
def test_every_frame_is_written_once_in_order_of_time(
    tmp_path: Path, leaves_cpu_free: bool, every: int
) -> None:
    backend = ColorBackend(leaves_cpu_free=leaves_cpu_free)
    found = events()
    outcome = process(tmp_path / "out", ListSource(found), backend=backend, every=every)
    assert result(tmp_path / "out") == expected(found, every=every)
    assert outcome.is_complete
    assert outcome.tally.frames == sum(backend.batches)
    # Only the last may be smaller: a network is paid for by the batch.
    assert set(backend.batches[:-1]) == {4}


def test_bad_frames_are_counted_named_and_cost_the_others_nothing(tmp_path: Path) -> None:
    found = events()
    bad = {number for number, (_, camera) in enumerate(found) if camera and number % 4 == 0}
    outcome = process(tmp_path / "out", ListSource(found, bad))
    assert result(tmp_path / "out") == expected(found, bad)
    assert outcome.tally.failed == len(bad)
    assert outcome.tally.examples[0].endswith(f"is no picture (number {min(bad)})")
    assert len(outcome.tally.examples) == min(10, len(bad))


def test_stopped_again_and_again_the_result_is_that_of_one_run(tmp_path: Path) -> None:
    found = events(3)
    bad = {8, 9, 30}
    for attempt in range(100):
        asked = iter([False] * (attempt % 9) + [True] * 1000)
        outcome = process(
            tmp_path / "out",
            ListSource(found, bad),
            is_stopped=lambda asked=asked: next(asked),
            resume=True,
            every=2,
        )
        # The output is valid after each.
        if (tmp_path / "out" / "result").exists():
            lines = result(tmp_path / "out")
            assert lines == expected(found, bad, every=2)[: len(lines)]
        if outcome.is_complete:
            break
    assert outcome.is_complete
    assert attempt > 5
    assert result(tmp_path / "out") == expected(found, bad, every=2)


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("every", [1, 3])
def test_shards_together_are_the_whole(tmp_path: Path, count: int, every: int) -> None:
    found = events(1)
    folder = tmp_path / "out"
    order = list(range(1, count + 1))
    random.Random(count).shuffle(order)
    for index in order:
        process(folder, ListSource(found), shard=Shard(index, count), every=every)
        assert not (folder / "result").exists()
    for _ in range(2):
        tally = merge_shards(folder, False, lambda description: LinesSink(folder))
        assert result(folder) == expected(found, every=every)
    assert tally.frames == len([line for line in result(folder) if "/other" not in line])


def test_a_shard_that_is_missing_or_stopped_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process(folder, ListSource(events()), shard=Shard(1, 4))
    process(folder, ListSource(events()), shard=Shard(3, 4), is_stopped=lambda: True)
    with pytest.raises(
        ConfigurationError, match="2/4 was not begun, 3/4 is not complete, 4/4 was not begun"
    ):
        merge_shards(folder, False, lambda description: LinesSink(folder))


def test_shards_of_different_runs_do_not_merge(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process(folder, ListSource(events()), shard=Shard(1, 2))
    process(folder, ListSource(events()), shard=Shard(2, 2), fingerprint={"model": "b"})
    with pytest.raises(ConfigurationError, match="shard 1 to shard 2, model was a, is b"):
        merge_shards(folder, False, lambda description: LinesSink(folder))


def test_a_run_does_not_go_on_with_another_ones_output(tmp_path: Path) -> None:
    process(tmp_path / "out", ListSource(events()), backend=ColorBackend(lost_at=3))
    with pytest.raises(ConfigurationError, match="--resume, or choose another"):
        process(tmp_path / "out", ListSource(events()))
    with pytest.raises(ConfigurationError, match="model was a, is b"):
        process(tmp_path / "out", ListSource(events()), resume=True, fingerprint={"model": "b"})


def test_a_run_that_has_done_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    process(tmp_path / "out", ListSource(events()), is_stopped=lambda: True)
    process(tmp_path / "out", ListSource(events()), fingerprint={"model": "b"})
    assert result(tmp_path / "out") == expected(events())


def test_of_two_processes_one_is_told_that_the_other_is_at_it(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with (
        locked(folder, False, Shard(1, 2)),
        pytest.raises(ConfigurationError, match="another process writes shard 1/2 of"),
    ):
        process(folder, ListSource(events()), shard=Shard(1, 2))
    process(folder, ListSource(events()), shard=Shard(1, 2))


def test_a_complete_run_is_left_as_it_is(tmp_path: Path) -> None:
    process(tmp_path / "out", ListSource(events()))
    (tmp_path / "out" / "result").unlink()  # a kill came before it was put together
    source = ListSource(events())
    outcome = process(tmp_path / "out", source, resume=True)
    assert outcome.was_complete
    assert source.read_intervals == []
    assert result(tmp_path / "out") == expected(events())


def test_a_lost_backend_keeps_what_was_done_and_tells(tmp_path: Path) -> None:
    found = [(10 * i, "front") for i in range(40)]
    outcome = process(tmp_path / "out", ListSource(found), backend=ColorBackend(lost_at=4))
    assert outcome.problem == "double: the device is gone; restart the machine"
    assert not outcome.is_complete
    assert result(tmp_path / "out") == expected(found)[:16]
    assert process(tmp_path / "out", ListSource(found), resume=True).is_complete
    assert result(tmp_path / "out") == expected(found)


def test_a_full_disk_leaves_whole_parts_to_go_on_from(tmp_path: Path) -> None:
    found = [(10 * i, "front") for i in range(40)]
    folder = tmp_path / "out"
    folder.mkdir()
    outcome = process(folder, ListSource(found), sink=LinesSink(folder, full_at=24))
    assert outcome.problem.endswith("No space left on device")
    assert not outcome.is_complete
    assert result(folder) == expected(found)[:21]
    assert not list(folder.glob("*.open"))
    assert process(folder, ListSource(found), resume=True).is_complete
    assert result(folder) == expected(found)


def test_a_recording_that_is_damaged_from_some_point_on_is_done_until_there(
    tmp_path: Path,
) -> None:
    found = [(10 * i, "front") for i in range(40)]
    error = InputError("list is cut off after 20 messages")
    outcome = process(tmp_path / "out", ListSource(found, error_at=(20, error)))
    assert outcome.is_complete
    assert (outcome.tally.damage, outcome.problem) == (str(error), "")
    assert result(tmp_path / "out") == expected(found)[:20]


def test_what_was_found_wrong_before_a_kill_is_told_after_it(tmp_path: Path) -> None:
    found = [(10 * i, "front") for i in range(40)]
    first = ListSource(found, error_at=(20, OSError(5, "Input/output error")))
    first.problems += ["list has no index", Loss("list is damaged at byte 7")]
    assert not process(tmp_path / "out", first).is_complete
    tally = process(tmp_path / "out", ListSource(found), resume=True).tally
    assert (tally.problems, tally.has_losses, tally.frames) == (first.problems, True, 40)


def test_a_disk_that_is_away_for_a_while_is_asked_again(tmp_path: Path) -> None:
    found = [(10 * i, "front") for i in range(40)]
    error = OSError(5, "Input/output error")
    outcome = process(tmp_path / "out", ListSource(found, error_at=(20, error)))
    assert outcome.problem == "cannot read list: Input/output error"
    assert not outcome.is_complete
    assert process(tmp_path / "out", ListSource(found), resume=True).is_complete
    assert result(tmp_path / "out") == expected(found)


def test_a_recording_of_one_time_takes_no_more_memory_than_another(tmp_path: Path) -> None:
    found = [(0, "front")] * 300
    process(tmp_path / "out", ListSource(found))
    assert result(tmp_path / "out") == expected(found)


def test_images_that_are_kept_stand_before_their_results(tmp_path: Path) -> None:
    found = [(10 * i, "front") for i in range(5)]
    process(tmp_path / "out", ListSource(found, {2}, keep_input=True), every=2)
    assert result(tmp_path / "out") == [
        *("0 /front 0", "0 5 front/0000 0"),
        "20 /front 2",  # could not be read, and is kept
        *("40 /front 4", "40 45 front/0004 4"),
    ]


def test_an_interval_is_all_that_is_read(tmp_path: Path) -> None:
    found = [(10 * i, "front") for i in range(40)]
    process(tmp_path / "out", ListSource(found), chosen=Interval(95, 200))
    assert result(tmp_path / "out") == expected(found)[10:20]
