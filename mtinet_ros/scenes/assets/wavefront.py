# SPDX-License-Identifier: Apache-2.0
"""Wavefront OBJ models with MTL materials and textures, read from a zip archive."""

from __future__ import annotations

import posixpath
import zipfile
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError
from mtinet_ros.scenes.geometry.mesh import Material, Mesh, as_color, face_normals

TEXTURE_LIMIT = 512
"""Longer side of a texture, pixels; more is not visible at the size of the frames."""
SMOOTH = np.cos(np.radians(40.0))
"""A vertex normal further than 40° from its triangle bends a flat surface and is not believed."""


@dataclass
class _Statements:
    """The statements of an OBJ, sorted by keyword, before any number is read."""

    vertices: list[str] = field(default_factory=list)
    texels: list[str] = field(default_factory=list)
    normals: list[str] = field(default_factory=list)
    faces: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)  # material of every face
    counts: list[tuple[int, int, int]] = field(default_factory=list)  # known before every face
    libraries: list[str] = field(default_factory=list)


def read_obj(archive: zipfile.ZipFile, path: str) -> Mesh:
    """Read one model.

    Args:
        archive: Zip archive that holds the model, its materials and textures.
        path: Path of the .obj inside it.

    Returns:
        The mesh in the units and axes of the file; polygons are cut into triangles.

    Raises:
        DataError: The file is missing or no valid OBJ, with the offending statement.
    """
    statements = _sorted_statements(_lines(archive, path))
    if not statements.faces:
        raise DataError(f"model {path} holds no face; the file is empty or damaged")
    materials: dict[str, Material] = {}
    for library in statements.libraries:
        materials.update(read_mtl(archive, posixpath.join(posixpath.dirname(path), library)))
    names = sorted(set(statements.owners))
    owner = np.searchsorted(names, statements.owners)
    try:
        corners = _numbers(statements.vertices, 3)
        texels, normals = _numbers(statements.texels, 2), _numbers(statements.normals, 3)
        index, face = _triangles(statements)
        return _mesh(
            index,
            corners,
            texels,
            normals,
            owner[face],
            [materials.get(n, Material()) for n in names],
        )
    except (ValueError, IndexError) as error:
        raise DataError(f"model {path} is no valid OBJ: {error}") from error


def _sorted_statements(lines: list[str]) -> _Statements:
    statements, material = _Statements(), ""
    plain = {"v ": statements.vertices, "vt": statements.texels, "vn": statements.normals}
    for line in map(str.strip, lines):
        numbers = plain.get(line[:2])
        if numbers is not None:
            numbers.append(line[2:])
            continue
        word, _, rest = line.partition(" ")
        if word == "f":
            statements.faces.append(rest)
            statements.owners.append(material)
            statements.counts.append(
                (len(statements.vertices), len(statements.texels), len(statements.normals))
            )
        elif word == "usemtl":
            material = rest.strip()
        elif word == "mtllib":
            statements.libraries.append(rest.strip())
    return statements


def _numbers(statements: list[str], count: int) -> NDArray[np.float32]:
    """The first `count` numbers of every statement, [S, count]."""
    rows = [statement.split()[:count] for statement in statements]
    try:
        return np.array(rows, np.float64).reshape(len(rows), count).astype(np.float32)
    except ValueError:
        for statement, row in zip(statements, rows, strict=True):
            if len(row) != count or not all(_is_number(word) for word in row):
                raise ValueError(f"'{statement.strip()}' is not {count} numbers") from None
        raise


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _triangles(statements: _Statements) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fans of all polygons.

    Returns:
        Zero-based vertex, texel and normal (−1 where absent) of every corner, [T, 3, 3]; the face
        that each triangle belongs to, [T].
    """
    polygons = [statement.split() for statement in statements.faces]
    sides = np.array([len(polygon) for polygon in polygons])
    text = " ".join(statements.faces).replace("//", "/0/")
    slashes, even = text.count("/"), "/ " not in f"{text} "
    try:
        if slashes == 0:
            index = np.zeros((len(text.split()), 3), np.int64)
            index[:, 0] = text.split()
        elif slashes == 2 * sides.sum() and even:
            index = np.array(text.replace("/", " ").split(), np.int64).reshape(-1, 3)
        else:
            words = [_padded(word) for polygon in polygons for word in polygon]
            index = np.array("/".join(words).split("/"), np.int64).reshape(-1, 3)
    except ValueError as error:
        raise ValueError(f"a face names something that is no corner ({error})") from error
    known = np.array(statements.counts[-1:])
    if "-" in text:  # counted back from what was known at that line
        known = np.repeat(np.array(statements.counts), sides, axis=0)
    index = np.where(index > 0, index - 1, np.where(index < 0, known + index, -1))
    if (index >= known).any() or (index < -1).any() or (index[:, 0] < 0).any():
        raise IndexError("a face names a corner that does not exist")
    fans = np.maximum(sides - 2, 0)
    if not fans.sum():
        raise ValueError("only points and lines, no surface")
    face = np.repeat(np.arange(len(polygons)), fans)
    step = np.arange(len(face)) - np.repeat(np.cumsum(fans) - fans, fans)
    first = (np.cumsum(sides) - sides)[face]
    corners = np.stack([first, first + step + 1, first + step + 2], axis=1)
    return index[corners], face


def _padded(word: str) -> str:
    """'v', 'v/vt', 'v//vn' or 'v/vt/vn' with 0 for what is absent."""
    parts = word.split("/")
    return "/".join([part or "0" for part in parts] + ["0"] * (3 - len(parts)))


def _mesh(
    index: NDArray[np.int64],
    corners: NDArray[np.float32],
    texels: NDArray[np.float32],
    normals: NDArray[np.float32],
    owner: NDArray[np.int64],
    materials: list[Material],
) -> Mesh:
    points = corners[index[..., 0]]
    if not np.isfinite(points).all():
        raise ValueError("a vertex is not finite")
    flat = face_normals(points)
    keep = np.linalg.norm(flat, axis=-1) > 0.5  # degenerate triangles have no normal
    if not keep.any():
        raise ValueError("every triangle is degenerate")
    shading = np.repeat(flat[:, None], 3, axis=1)
    if len(normals):
        given = normals[index[..., 2]]
        given /= np.maximum(np.linalg.norm(given, axis=-1, keepdims=True), 1e-12)
        believed = (np.abs((given * shading).sum(-1)) > SMOOTH) & (index[..., 2] >= 0)
        given *= np.sign((given * shading).sum(-1, keepdims=True))
        shading = np.where(believed[..., None], given, shading)
    uv = np.zeros((*index.shape[:2], 2), np.float32)
    if len(texels):
        uv = texels[index[..., 1]] * np.array([1, -1], np.float32)
        uv[index[..., 1] < 0] = 0
    return Mesh(
        points[keep],
        uv[keep].astype(np.float32),
        shading[keep].astype(np.float32),
        owner.astype(np.int32)[keep],
        tuple(materials),
    )


def read_mtl(archive: zipfile.ZipFile, path: str) -> dict[str, Material]:
    """Materials of an MTL file by name; a missing library gives none, as viewers do."""
    if path not in archive.NameToInfo:
        return {}
    records: dict[str, dict[str, str]] = {}
    record: dict[str, str] = {}
    for line in map(str.strip, _lines(archive, path)):
        word, _, rest = line.partition(" ")
        if word == "newmtl":
            record = records.setdefault(rest.strip(), {})
        elif word:
            record[word] = rest.strip()
    folder = posixpath.dirname(path)
    return {name: _material(archive, folder, record) for name, record in records.items()}


def _material(archive: zipfile.ZipFile, folder: str, record: dict[str, str]) -> Material:
    def numbers(key: str, default: str) -> list[float]:
        return [float(value) for value in record.get(key, default).split()[:3]]

    diffuse = np.clip(numbers("Kd", "0.7 0.7 0.7"), 0.02, 0.95) ** 2.2
    opacity = numbers("d", "1")[0]
    specular = float(np.mean(numbers("Ks", "0")))
    shininess = numbers("Ns", "10")[0]
    texture = None
    if "map_Kd" in record:
        texture = _texture(archive, posixpath.join(folder, record["map_Kd"].split()[-1]))
        if texture is not None:
            diffuse = np.ones(3)
    return Material(
        color=as_color(diffuse),
        texture=texture,
        specular=0.05 * min(specular, 1.0) if shininess > 50 else 0.0,
        roughness=0.15,
        transmission=0.0 if opacity > 0.7 else 1.0 - opacity,
    )


def _texture(archive: zipfile.ZipFile, path: str) -> NDArray[np.uint8] | None:
    """Texture as sRGB, or None if the archive lacks it or OpenCV cannot read it."""
    if path not in archive.NameToInfo:
        return None
    data = np.frombuffer(archive.read(path), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        return None
    scale = TEXTURE_LIMIT / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


def _lines(archive: zipfile.ZipFile, path: str) -> list[str]:
    try:
        text = archive.read(path).decode("latin-1")
    except KeyError as error:
        raise DataError(f"the archive {archive.filename} holds no {path}") from error
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DataError(f"{path} in {archive.filename} is damaged: {error}") from error
    return text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
