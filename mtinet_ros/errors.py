# SPDX-License-Identifier: Apache-2.0
"""The one exception family of the package.

Every message is a sentence for the person who can do something about it: it names the input and
its value, says what is allowed, and what to do. Commands print it and end with status 1; the node
logs it, reports it in /diagnostics and goes on.
"""


class MtinetError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(MtinetError):
    """An option, a parameter or a configuration file asks for something that is not allowed."""


class ModelError(MtinetError):
    """A model file, its card or a checkpoint cannot be read, or does not keep the contract."""


class BackendError(MtinetError):
    """An inference backend is not installed, cannot run here, or failed while running."""


class BackendLostError(BackendError):
    """A backend failed for good: it must be closed; loading it again, or a restart, may help."""


class InputError(MtinetError):
    """One image or its camera information is unusable; the next one may be fine."""


class ExportError(MtinetError):
    """A network could not be turned into an artifact that keeps its promises."""


class DataError(MtinetError):
    """Training data or the assets to make it are missing, damaged or inconsistent."""
