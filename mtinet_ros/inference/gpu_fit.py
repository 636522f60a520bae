# SPDX-License-Identifier: Apache-2.0
"""The kernel of fit_kernel.cu on a GPU: compiled for it, loaded, launched."""

from __future__ import annotations

from mtinet_ros.inference.cuda import cuda_errors, driver_version, load_module
from mtinet_ros.inference.cuda_driver import DriverStream, GpuIdentity
from mtinet_ros.inference.fit_kernel import BLOCK, KERNEL_NAME, FitJob, kernel_source
from mtinet_ros.inference.nvrtc import compile_kernel


class GpuFit:
    """Brings camera images to the network's input on the device; lives in one context."""

    def __init__(self, gpu: GpuIdentity) -> None:
        """Compile the kernel and load it into the current context.

        Args:
            gpu: The context's device.

        Raises:
            BackendUnavailableError: There is no compiler for this GPU and its driver.
            BackendError: It does not compile, or the driver does not load it.
        """
        image = compile_kernel(kernel_source(), gpu.compute_capability, driver_version())
        self._module = load_module(image)
        try:
            with cuda_errors("find the kernel that fits images"):
                self._kernel = self._module.kernel(KERNEL_NAME)
        except BaseException:
            self.free()
            raise

    def queue(self, job: FitJob, source: int, out: int, stream: DriverStream) -> None:
        """Queue one image.

        Args:
            job: What to do.
            source: Address on the device of `job.source_size` bytes.
            out: Address on the device of the result, uint8 [H,W,3].
            stream: Where what uploads the bytes is queued before.

        Raises:
            BackendError: The driver does not take it.
        """
        with cuda_errors("fit an image"):
            stream.launch(self._kernel, job.grid, BLOCK, job.argument(source, out))

    def free(self) -> None:
        """Unload it; what was queued must be done.

        Raises:
            BackendError: The driver does not.
        """
        with cuda_errors("unload the kernel that fits images"):
            self._module.free()
