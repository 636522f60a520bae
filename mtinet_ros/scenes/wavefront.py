# SPDX-License-Identifier: Apache-2.0
"""Reads a Wavefront OBJ model with its MTL materials and textures out of a zip archive."""

from __future__ import annotations

import itertools
import posixpath
import zipfile

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError
from mtinet_ros.scenes.mesh import Material, Mesh, face_normals, triple

TEXTURE_LIMIT = 512
"""Longer side of a texture in pixels; more is never seen at the size of the frames."""
SMOOTH = np.cos(np.radians(40.0))
"""A vertex normal further than 40° from its triangle bends a flat surface and is not believed."""


def read_obj(archive: zipfile.ZipFile, path: str) -> Mesh:
    """Read one model.

    Args:
        archive: Zip archive that holds the model, its materials and textures.
        path: Path of the .obj inside it.

    Returns:
        The mesh in the units and axes of the file; polygons are cut into triangles.

    Raises:
        DataError: The file is missing or no valid OBJ, with the offending line.
    """
    corners, texels, normals = [], [], []
    faces: list[tuple[str, list[list[int]]]] = []
    materials: dict[str, Material] = {}
    current = ""
    for number, line in enumerate(_lines(archive, path), start=1):
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "v":
                corners.append([float(value) for value in rest.split()[:3]])
            elif word == "vt":
                texels.append([float(value) for value in rest.split()[:2]])
            elif word == "vn":
                normals.append([float(value) for value in rest.split()[:3]])
            elif word == "f":
                counts = (len(corners), len(texels), len(normals))
                faces.append((current, [_corner(text, counts) for text in rest.split()]))
            elif word == "usemtl":
                current = rest.strip()
            elif word == "mtllib":
                library = posixpath.join(posixpath.dirname(path), rest.strip())
                materials.update(read_mtl(archive, library))
        except (ValueError, IndexError) as error:
            raise DataError(
                f"model {path}, line {number}: '{line.strip()}' is no OBJ ({error})"
            ) from error
    if not faces:
        raise DataError(f"model {path} holds no face: the file is empty or damaged")
    names = sorted({name for name, _ in faces})
    triangles, owner = [], []
    for name, polygon in faces:
        material = names.index(name)
        for second, third in itertools.pairwise(polygon[1:]):
            triangles.append((polygon[0], second, third))
            owner.append(material)
    if not triangles:
        raise DataError(f"model {path} holds only points and lines, no surface")
    index = np.array(triangles)
    try:
        return _mesh(
            index, corners, texels, normals, owner, [materials.get(n, Material()) for n in names]
        )
    except (ValueError, IndexError) as error:
        raise DataError(f"model {path} is damaged: {error}") from error


def _corner(text: str, counts: tuple[int, int, int]) -> list[int]:
    """Zero-based vertex, texel, normal of 'v/vt/vn'; −1 where absent; negative ones count back."""
    found = [-1, -1, -1]
    for place, value in enumerate(text.split("/")[:3]):
        if value:
            index = int(value)
            index = index - 1 if index > 0 else counts[place] + index
            if not 0 <= index < counts[place]:
                raise IndexError(f"index {value} of {counts[place]}")
            found[place] = index
    if found[0] < 0:
        raise ValueError("a corner without a vertex")
    return found


def _mesh(
    index: NDArray[np.int64],
    corners: list[list[float]],
    texels: list[list[float]],
    normals: list[list[float]],
    owner: list[int],
    materials: list[Material],
) -> Mesh:
    points = np.array(corners, np.float32)[index[..., 0]]
    if not np.isfinite(points).all():
        raise ValueError("a vertex is not finite")
    flat = face_normals(points)
    keep = np.linalg.norm(flat, axis=-1) > 0.5  # degenerate triangles have no normal
    if not keep.any():
        raise ValueError("every triangle is degenerate")
    shading = np.repeat(flat[:, None], 3, axis=1)
    if normals:
        given = np.array(normals, np.float32)[index[..., 2]]
        given /= np.maximum(np.linalg.norm(given, axis=-1, keepdims=True), 1e-12)
        believed = (np.abs((given * shading).sum(-1)) > SMOOTH) & (index[..., 2] >= 0)
        given *= np.sign((given * shading).sum(-1, keepdims=True))
        shading = np.where(believed[..., None], given, shading)
    uv = np.zeros((*index.shape[:2], 2), np.float32)
    if texels:
        uv = np.array(texels, np.float32)[index[..., 1]] * np.array([1, -1], np.float32)
        uv[index[..., 1] < 0] = 0
    return Mesh(
        points[keep],
        uv[keep].astype(np.float32),
        shading[keep].astype(np.float32),
        np.array(owner, np.int32)[keep],
        tuple(materials),
    )


def read_mtl(archive: zipfile.ZipFile, path: str) -> dict[str, Material]:
    """Materials of an MTL file by name; a missing library gives none, as viewers do."""
    if path not in archive.namelist():
        return {}
    records: dict[str, dict[str, str]] = {}
    record: dict[str, str] = {}
    for line in _lines(archive, path):
        word, _, rest = line.strip().partition(" ")
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
        colour=triple(diffuse),
        texture=texture,
        mirror=0.05 * min(specular, 1.0) if shininess > 50 else 0.0,
        roughness=0.15,
        clear=0.0 if opacity > 0.7 else 1.0 - opacity,
    )


def _texture(archive: zipfile.ZipFile, path: str) -> NDArray[np.uint8] | None:
    """Texture as sRGB, or None if the archive lacks it or OpenCV cannot read it."""
    if path not in archive.namelist():
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
