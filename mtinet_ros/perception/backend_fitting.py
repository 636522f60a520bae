# SPDX-License-Identifier: Apache-2.0
"""Which images a backend brings to the network's size itself, and whether it does it right."""

from __future__ import annotations

import logging

import numpy as np

from mtinet_ros.errors import BackendError, BackendLostError
from mtinet_ros.inference.backend import Backend, UnfittedImage
from mtinet_ros.inference.fit_kernel import FitJob
from mtinet_ros.model_contract import RGB
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.raw_image import RawImage

logger = logging.getLogger("mtinet_ros.perception")

# Forms of images (encoding, size, …) that are looked at: cameras have one each, perhaps a few.
_MOST_FORMS = 64


class BackendFitting:
    """Holds a backend's fitting against `Fit.apply`: a silent difference would be the worst fault.

    The first image of each form has the backend fit noise of the same form, whose result must be
    that of the CPU to one gray level. Else the CPU fits all images of that form, and the log says
    so once. `takes` may be called in any thread, `agrees` in the backend's.
    """

    def __init__(self, backend: Backend, pad_color: RGB) -> None:
        """Trust nothing yet."""
        self._backend = backend
        self._pad_color = pad_color
        self._verdicts: dict[tuple[object, ...], bool] = {}

    def takes(self, image: RawImage, fit: Fit) -> bool:
        """Whether the backend can fit an image, as far as is known."""
        return (
            self._backend.fits_images
            and self._verdicts.get((*image.form, fit), True)
            and image.job(fit, self._pad_color) is not None
        )

    def unfitted(self, image: RawImage, fit: Fit) -> UnfittedImage:
        """An image that `takes` has let pass, as the backend wants it."""
        return UnfittedImage(self._job(image, fit), image.data)

    def _job(self, image: RawImage, fit: Fit) -> FitJob:
        job = image.job(fit, self._pad_color)
        assert job is not None
        return job

    def agrees(self, image: RawImage, fit: Fit) -> bool:
        """Whether the backend fits images like this one as the CPU does; tried at the first one.

        Raises:
            BackendLostError: The backend has failed for good.
        """
        if not self._backend.fits_images:
            return False
        form = (*image.form, fit)
        if form not in self._verdicts and len(self._verdicts) < _MOST_FORMS:
            problem = self._problem(image, fit)
            height, width = image.size
            logger.log(
                logging.WARNING if problem else logging.INFO,
                "%s: images in %s of %dx%d pixels are fitted by the %s",
                *(self._backend.name, image.encoding, width, height),
                f"CPU, because {problem}" if problem else "GPU",
            )
            self._verdicts[form] = not problem
        return self._verdicts.get(form, False)

    def _problem(self, image: RawImage, fit: Fit) -> str:
        """What is wrong with the backend's fitting of noise; empty if nothing is."""
        job = self._job(image, fit)
        noise = np.random.default_rng(0).integers(0, 256, job.source_size, np.uint8)
        expected = np.empty((*fit.network_size, 3), np.uint8)
        fit.apply(image.decode(noise), expected, self._pad_color)
        try:
            fitted = self._backend.fit_image(UnfittedImage(job, noise))
        except BackendLostError:
            raise
        except BackendError as error:
            return f"the GPU fails to: {error}"
        worst = int(np.abs(fitted.astype(np.int16) - expected).max())
        return f"the GPU's result differs by {worst} gray levels" if worst > 1 else ""
