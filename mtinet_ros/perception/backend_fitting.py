# SPDX-License-Identifier: Apache-2.0
"""Which images a backend brings to the network's size itself, and whether it does it right."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from mtinet_ros.errors import BackendError, BackendLostError
from mtinet_ros.inference.backend import Backend, Run, UnfittedImage
from mtinet_ros.inference.fit_kernel import FitJob
from mtinet_ros.model_contract import RGB
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.raw_image import RawImage

logger = logging.getLogger("mtinet_ros.perception")

# Forms of images (encoding, size, …) that are looked at: cameras have one each, perhaps a few.
_MOST_FORMS = 64
# Seconds until a backend that failed to fit is tried again, doubled with each failure; failures
# until it is not any more; and seconds without one after which former ones are forgotten.
_FIRST_PAUSE = 5.0
_MOST_FAILURES = 5
_FORGOTTEN_AFTER = 60.0


class FittingFailures:
    """Whether fitting is tried, after failures: once more a while later, in the end no more."""

    def __init__(self) -> None:
        """Begin without any."""
        self._count = 0
        self._last = -math.inf
        self._paused_until = -math.inf

    @property
    def allow(self) -> bool:
        """Whether it is tried now; may be asked in any thread."""
        return time.monotonic() >= self._paused_until

    def failed(self) -> str:
        """Count a failure; what follows from it, as a phrase."""
        now = time.monotonic()
        if self.allow:  # else it was under way when another one failed
            self._count += 1
            pause = _FIRST_PAUSE * 2 ** (self._count - 1)
            self._paused_until = math.inf if self._count == _MOST_FAILURES else now + pause
        self._last = now
        if self._paused_until == math.inf:
            return f"it has failed {self._count} times, and is not tried again"
        return f"it is tried again in {self._paused_until - now:.0f} s"

    def worked(self) -> None:
        """Forget failures that are long ago."""
        if time.monotonic() - self._last > _FORGOTTEN_AFTER:
            self._count = 0


class BackendFitting:
    """Holds a backend's fitting against `Fit.apply`: a silent difference would be the worst fault.

    The first image of each form has the backend fit noise of the same form, whose result must be
    that of the CPU to one gray level. Else the CPU fits all images of that form, and the log says
    so once. After a failure the CPU fits for a while, and the backend is looked at anew. `takes`
    may be called in any thread, the others in the backend's.
    """

    def __init__(self, backend: Backend, pad_color: RGB) -> None:
        """Trust nothing yet."""
        self._backend = backend
        self._pad_color = pad_color
        self._verdicts: dict[tuple[object, ...], bool] = {}
        self._failures = FittingFailures()

    def takes(self, image: RawImage, fit: Fit) -> bool:
        """Whether the backend can fit an image, as far as is known."""
        return (
            self.is_tried
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
        if not self.is_tried:
            return False
        form = (*image.form, fit)
        if form not in self._verdicts and len(self._verdicts) < _MOST_FORMS:
            height, width = image.size
            whose = f"images in {image.encoding} of {width}x{height} pixels are fitted by the"
            try:
                worst = self._difference(image, fit)
            except BackendLostError:
                raise
            except BackendError as error:
                self._report(f"{whose} CPU", error)
                return False
            if worst > 1:
                reason = f"because the GPU's result differs by {worst} gray levels"
                logger.warning("%s: %s CPU, %s", self._backend.name, whose, reason)
            else:
                logger.info("%s: %s GPU", self._backend.name, whose)
            self._verdicts[form] = worst <= 1
        return self._verdicts.get(form, False)

    @property
    def is_tried(self) -> bool:
        """Whether the backend fits at all, which a failure ends for a while."""
        return self._backend.fits_images and self._failures.allow

    def _difference(self, image: RawImage, fit: Fit) -> int:
        """How far the backend's fitting of noise is from the CPU's, in gray levels at most."""
        job = self._job(image, fit)
        noise = np.random.default_rng(0).integers(0, 256, job.source_size, np.uint8)
        expected = np.empty((*fit.network_size, 3), np.uint8)
        fit.apply(image.decode(noise), expected, self._pad_color)
        fitted = self._backend.fit_image(UnfittedImage(job, noise))
        return int(np.abs(fitted.astype(np.int16) - expected).max())

    def _report(self, what: str, error: BackendError) -> None:
        """Count a failure, say what follows, and trust nothing that was seen before it."""
        logger.warning(
            "%s: %s, because the GPU fails to: %s; %s",
            *(self._backend.name, what, error, self._failures.failed()),
        )
        self._verdicts = {form: agrees for form, agrees in self._verdicts.items() if not agrees}

    def begin(self, begin: Callable[[], Run]) -> Run:
        """Begin a run that fits images, whose failure counts as one of fitting.

        Raises:
            BackendError: As `begin` and the run raise it.
        """
        with self._counted():
            run = begin()
        run.within(self._counted)
        return run

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except BackendLostError:
            raise
        except BackendError as error:
            self._report("the CPU fits images", error)
            raise
        self._failures.worked()
