# SPDX-License-Identifier: Apache-2.0
"""A run's description is read strictly, and mistakes in it are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.config_file import load_config

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_valid(path):
    config = load_config(path)
    assert set(config.network.tasks) <= set(config.losses.terms)


def test_overrides_replace_entries(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("optimizer: {learning_rate: 1e-3}\n")
    config = load_config(path, ["optimizer.max_steps=7", "augmentation.zoom=[1, 2]"])
    assert config.optimizer.learning_rate == 1e-3
    assert config.optimizer.max_steps == 7
    assert config.augmentation.zoom == (1.0, 2.0)


def test_several_sources_have_augmentations_of_their_own(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "augmentation: {roll: 3, zoom: [1, 2]}\n"
        "data: {sources: {real: {kind: nyud, root: a, share: 2, augmentation: {zoom: [1, 3]}},\n"
        "                 rendered: {root: b}}}\n"
    )
    config = load_config(path, ["data.sources.real.root=c", "data.sources.rendered.share=0.5"])
    real, rendered = config.data.named_sources().values()
    assert (real.kind, real.root, real.share) == ("nyud", "c", 2)
    assert real.augmentation is not None
    assert (real.augmentation.roll, real.augmentation.zoom) == (3, (1, 3))
    assert (rendered.kind, rendered.root, rendered.share) == ("rooms", "b", 0.5)
    assert rendered.augmentation is None


def test_one_data_set_needs_no_list_of_sources(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("data: {kind: nyud, root: a}")
    ((name, source),) = load_config(path).data.named_sources().items()
    assert (name, source.kind, source.root, source.share) == ("nyud", "nyud", "a", 1)


def test_loader_processes_are_the_default(tmp_path):
    (tmp_path / "a.yaml").write_text("")
    assert load_config(tmp_path / "a.yaml").data.workers > 0


def test_files_of_earlier_versions_mean_what_they_meant(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "optimiser: {learning_rate: 1e-3}\n"
        "network: {depth_encoding: metres}\n"
        "run: {picture_minutes: 3}\n"
    )
    config = load_config(path, ["optimiser.max_steps=7"])
    assert config.optimizer.learning_rate == 1e-3
    assert config.optimizer.max_steps == 7
    assert config.network.depth_output == "metres"
    assert config.run.image_minutes == 3.0


@pytest.mark.parametrize(
    ("text", "overrides", "fragment"),
    [
        ("a: [", [], "cannot be read as YAML"),
        ("optimiser: {}\noptimizer: {}", [], "'optimizer' and 'optimiser', its former name"),
        ("- 1", [], "must map section names"),
        ("optimism: {}", [], "unknown entry 'optimism'; allowed are network"),
        ("data: {hight: 3}", [], "unknown entry 'hight'"),
        ("data: {height: tall}", [], "height is 'tall'; it must be of type int"),
        ("augmentation: {zoom: [1]}", [], "zoom is"),
        ("data: 3", [], "must map names to values"),
        ("", ["height=3"], "section.key=value"),
        ("", ["run.watch=[a.jpg"], "'run.watch=\\[a.jpg' is not YAML"),
        ("data: {batch_size: 0}", [], "data.batch_size is 0; allowed is 1 to"),
        ("optimizer: {clip: .nan}", [], "optimizer.clip is nan; allowed is 0 to"),
        ("augmentation: {zoom: [0, 1]}", [], "zoom is .* allowed is 0.1 to 10, the lesser first"),
        ("augmentation: {zoom: [2, 1]}", [], "the lesser first"),
        ("data: {sources: {a: {share: 3}}}", [], "data.sources.a has no root; name its folder"),
        (
            "data: {root: x, sources: {a: {root: y}}}",
            [],
            "data.root is 'x', and data.sources names the data sets; set data.sources.a.root",
        ),
        (
            "data: {sources: {a: {root: x}, b: {root: x, share: 1e-4}}}",
            [],
            "data.sources.b.share is 0.0001 of 1.0001; at least one thousandth",
        ),
        ("data: {sources: {a: {share: 0}}}", [], "data.sources.a.share is 0.0; allowed is 1e-06"),
        ("data: {sources: {a: {shares: 1}}}", [], "sources: a has the unknown entry 'shares'"),
        ("data: {sources: [a]}", [], "sources is"),
        ("data: {sources: {a: 3}}", [], "a is 3; it must map names to values"),
        (
            "data: {sources: {a: {augmentation: {roll: 99}}}}",
            [],
            "data.sources.a.augmentation.roll is 99.0; allowed is 0 to 45",
        ),
        ("data: {height: 32}", ["data.height.x=3"], "height must map names to values"),
    ],
)
def test_mistakes_are_named(text, overrides, fragment, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=fragment):
        load_config(path, overrides)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_of_a_windows_editor_is_read(encoding, tmp_path):
    path = tmp_path / "train.yaml"
    text = "optimizer:\r\n  max_steps: 7\r\ncard:\r\n  name: büro\r\n"
    path.write_bytes(text.encode(encoding))
    config = load_config(path)
    assert (config.optimizer.max_steps, config.card.name) == (7, "büro")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"cannot read .*none\.yaml: No .*; name the YAML"
    ):
        load_config(tmp_path / "none.yaml")


def write_chain(folder: Path, **files: str) -> None:
    """Files of a folder by name, dots and slashes in names given as __."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_file_may_build_on_another(tmp_path):
    """Recipes that differ in a line are a line long."""
    write_chain(
        tmp_path,
        common="optimizer: {max_steps: 7, clip: 2}\naugmentation: {zoom: [1, 2]}",
        nyud="base: common.yaml\nnetwork: {tasks: {depth: 1, edge: 1}}\nrun: {watch: [a.jpg]}",
        deep__one="base: ../nyud.yaml\noptimiser: {clip: 3}\naugmentation: {zoom: [1, 1.5]}\n"
        "network: {tasks: {edge: null, semseg: 40}}",
    )
    config = load_config(tmp_path / "deep" / "one.yaml", ["optimizer.clip=4", "run.seed=9"])
    assert (config.optimizer.max_steps, config.optimizer.clip) == (7, 4)
    assert config.augmentation.zoom == (1, 1.5)
    assert config.network.tasks == {"depth": 1, "semseg": 40}
    assert (config.run.watch, config.run.seed) == (("a.jpg",), 9)


def test_a_section_whose_entries_are_commented_out_takes_nothing_away(tmp_path):
    write_chain(tmp_path, a="optimizer: {max_steps: 7}", b="base: a.yaml\noptimizer:\n  # clip: 1")
    assert load_config(tmp_path / "b.yaml").optimizer.max_steps == 7


def test_an_entry_of_the_base_can_be_taken_away_on_the_command_line(tmp_path):
    write_chain(tmp_path, a="losses: {terms: {depth: {l1: 1}, edge: {balanced_bce: 50}}}")
    config = load_config(tmp_path / "a.yaml", ["losses.terms.edge=null"])
    assert config.losses.terms == {"depth": {"l1": 1}}


@pytest.mark.parametrize(
    ("files", "fragment"),
    [
        (
            {"a": "base: a.yaml"},
            r"bases of .*a\.yaml form a circle: .*a\.yaml -> .*a\.yaml; break",
        ),
        ({"a": "base: b.yaml", "b": "base: ./a.yaml"}, r"-> .*b\.yaml -> .*a\.yaml; break it"),
        ({"a": "base: b.yaml"}, r"cannot read .*b\.yaml, the base of .*a\.yaml: No such file"),
        ({"a": "base: 3"}, "base is 3; it must be the name of a file"),
        ({"a": "base: ''"}, "base is ''; it must be"),
        ({"a": "base: b.yaml", "b": "- 1"}, r"b\.yaml must map section names"),
        ({"a": "base: b.yaml", "b": "data: {hight: 3}"}, r"b\.yaml: data has the unknown entry"),
        ({"a": "base: b.yaml", "b": "data: {height: x}"}, r"b\.yaml: data: height is 'x'"),
        (
            {"a": "base: b1.yaml", **{f"b{i}": f"base: b{i + 1}.yaml" for i in range(1, 40)}},
            r"a\.yaml is based on more than 15 files, .* down to .*b16\.yaml; write some",
        ),
    ],
)
def test_mistakes_in_what_a_file_builds_on_are_named(files, fragment, tmp_path):
    write_chain(tmp_path, **files)
    with pytest.raises(ConfigurationError, match=fragment):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "setting", ["run.seed=-1", "losses.terms.depth.l1=.nan", "losses.terms.depth.l1=-1"]
)
def test_a_setting_that_no_run_can_have_is_refused_by_name(tmp_path, setting):
    path = tmp_path / "run.yaml"
    path.write_text("losses: {terms: {depth: {l1: 1.0}}}\n")
    with pytest.raises(ConfigurationError, match=setting.partition("=")[0]):
        load_config(path, [setting])
