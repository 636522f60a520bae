# SPDX-License-Identifier: Apache-2.0
"""PASCAL_MT, pictures of PASCAL VOC with the truth of five tasks, as samples.

As MTI-Net's authors have it (Maninis et al., CVPR 2019): `ImageSets/Context/{train,val}.txt`,
JPEGImages/*.jpg; labels of 21 classes in semseg/VOC12/*.png, or else in
semseg/pascal-context/*.png; human_parts/*.mat; sal_distill/*.png; normals_distill/*.png; segments
in pascal-context/trainval/*.mat, whose borders are the edges and whose classes say where normals
are trusted. A folder may lack kinds of truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.name_lists import (
    known_folder,
    known_split,
    read_names_in,
    refuse_shared,
)
from mtinet_ros.datasets.pascal_truth import (
    PERSON,
    distilled_normals,
    human_parts,
    objects,
    objects_by_name,
    resized_as,
    saliency,
    segment_edges,
    segments,
)
from mtinet_ros.datasets.sample import Sample, Target, unknown_target
from mtinet_ros.datasets.truth_files import (
    missing_of,
    read_id_png,
    read_picture,
    refuse_missing,
)
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID

PASCAL_FOLDERS = {
    "semseg": "semseg",
    "human_parts": "human_parts",
    "sal": "sal_distill",
    "normals": "normals_distill",
    "edge": "pascal-context/trainval",
}
"""Folder of each task's truth."""
PUBLISHED_FRAMES = {"train": 4998, "val": 5105}
PASCAL_ATTRIBUTION = (
    "PASCAL VOC 2010 (Everingham et al., IJCV 2010), pictures from Flickr under its terms of use",
    "PASCAL-Context (Mottaghi et al., CVPR 2014) and PASCAL-Part (Chen et al., CVPR 2014)",
    "PASCAL_MT's saliency and normals (Maninis, Radosavovic and Kokkinos, CVPR 2019), published "
    "without a license text",
)


class PascalSamples:
    """One split of a folder PASCAL_MT, with the truth it has."""

    def __init__(
        self, root: str, split: str, *, complete: bool = True, people_only: bool = False
    ) -> None:
        """Read the list of pictures and look whether their files are there.

        Args:
            root: The folder.
            split: "train" or "val"; the data set has no other.
            complete: Refuse a split whose files are not all there, or of which the other list
                names a picture; False: refuse pictures, one by one, when they are read.
            people_only: Leave out pictures without people, as the authors do where human parts are
                all that is trained.

        Raises:
            DataError: The folder, its list or files that it names are missing, or a picture is in
                both lists.
        """
        self.root = known_folder(Path(root), "PASCAL_MT")
        self.split = known_split(split)
        path = self.list_file(split)
        self.names = read_names_in(path, split, self._what_is_there)
        self.tasks = tuple(
            task for task, folder in PASCAL_FOLDERS.items() if (self.root / folder).is_dir()
        )
        voc = self.root / "semseg" / "VOC12"
        self._labelled_by_voc = {p.name for p in voc.iterdir()} if voc.is_dir() else set()
        classes = CLASS_SETS["pascal21"]
        self.class_names = classes.names
        self.palette = classes.palette
        self.attribution = PASCAL_ATTRIBUTION
        if complete:
            self._check_files()
        if people_only:
            self.names = self._with_people()

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.names)

    def __getitem__(self, index: int, /) -> Sample:
        """The picture at `index`.

        Raises:
            DataError: A file of it is damaged, or does not hold what it should.
        """
        name = self.names[index]
        image = read_picture(self.path("images", name))
        size = image.shape[:2]
        targets: dict[str, Target] = {}
        context = None
        if {"normals", "edge"} & set(self.tasks):
            context = segments(self.path("edge", name))
        for task in self.tasks:
            path = self.path(task, name)
            values: Target
            if task == "semseg":
                values = self._labels(path, name)
            elif task == "sal":
                values = saliency(path, read_id_png(path))
            elif task == "human_parts":
                values = _human_parts(path, size)
            elif task == "normals":
                assert context is not None
                targets[task] = _normals(path, context, size)
                continue
            else:
                assert context is not None
                values = segment_edges(context)
            targets[task] = resized_as(path, np.asarray(values, np.uint8), size)
        return Sample(image, targets, None)

    def videos(self) -> list[list[int]]:
        """None: stills."""
        return []

    def list_file(self, split: str) -> Path:
        """The file that lists the pictures of a split."""
        return self.root / "ImageSets" / "Context" / f"{split}.txt"

    def path(self, what: str, name: str) -> Path:
        """The file of a picture, "images", or of its truth for a task."""
        if what == "images":
            return self.root / "JPEGImages" / f"{name}.jpg"
        if what == "semseg":
            by_voc = f"{name}.png" in self._labelled_by_voc
            return self.root / "semseg" / ("VOC12" if by_voc else "pascal-context") / f"{name}.png"
        suffix = ".mat" if what in ("human_parts", "edge") else ".png"
        return self.root / PASCAL_FOLDERS[what] / f"{name}{suffix}"

    def files(self, name: str) -> list[Path]:
        """The picture and the files of all its truth."""
        tasks = dict.fromkeys(("images", *self.tasks))
        if "normals" in tasks:
            tasks["edge"] = None  # says where normals are trusted
        return [self.path(what, name) for what in tasks]

    def missing_files(self) -> list[Path]:
        """Files that the list names and that are not there."""
        return missing_of([path for name in self.names for path in self.files(name)])

    def _check_files(self) -> None:
        if not self.tasks:
            raise DataError(
                f"{self.root} has pictures without truth: none of the folders "
                f"{', '.join(PASCAL_FOLDERS.values())} is there; copy it again"
            )
        path = self.list_file(self.split)
        others = [self.list_file(other) for other in PUBLISHED_FRAMES if other != self.split]
        refuse_shared(
            path,
            self.names,
            others,
            lambda other: read_names_in(other, other.stem, self._what_is_there),
        )
        refuse_missing(self.root, self.missing_files(), f"{len(self.names)} {self.split}")

    def _with_people(self) -> list[str]:
        """Pictures that show a person, by the authors' list of objects or else by all files."""
        listed = objects_by_name(self.root / "ImageSets" / "Parts" / f"{self.split}.txt")
        names = [
            name
            for name in self.names
            if PERSON in (listed.get(name) or objects(self.path("human_parts", name)))
        ]
        if not names:
            raise DataError(
                f"{self.root} has no {self.split} pictures of people; nothing teaches human parts"
            )
        return names

    def _what_is_there(self) -> str:
        lists = [split for split in PUBLISHED_FRAMES if self.list_file(split).is_file()]
        if lists:
            return f"there is {', '.join(lists)}"
        if (self.root / "PASCAL_MT").is_dir():
            return f"name {self.root / 'PASCAL_MT'}"
        return "name the folder PASCAL_MT, which holds JPEGImages and ImageSets"

    def _labels(self, path: Path, name: str) -> NDArray[np.uint8]:
        labels = read_id_png(path)
        count = len(self.class_names)
        odd = (labels >= count) & (labels != VOID_ID)
        if odd.any():
            raise DataError(
                f"{path} has the label {labels[odd].max()}; allowed is 0 to {count - 1} and 255: "
                "it is of another class set than PASCAL VOC"
            )
        return labels


def _human_parts(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """All unknown where no person has parts: the authors train and measure on the others only."""
    parts = human_parts(path)
    if parts is None:
        return np.asarray(unknown_target("human_parts", size[0], size[1]), np.uint8)
    return parts


def _normals(path: Path, context: NDArray[np.int64], size: tuple[int, ...]) -> NDArray[np.float32]:
    colors = read_picture(path)
    if not colors.shape[:2] == context.shape == tuple(size):
        shapes = ", ".join("x".join(str(n) for n in s[:2]) for s in (colors.shape, context.shape))
        raise DataError(
            f"{path} and the segments of its picture have the shapes {shapes}, the picture "
            f"{size[0]}x{size[1]} (rows x columns); all must be of the same size"
        )
    return distilled_normals(colors, context)
