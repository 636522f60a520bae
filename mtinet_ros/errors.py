# SPDX-License-Identifier: Apache-2.0
"""The one exception family of the package.

Every message is a sentence for the person who can do something about it. Commands print it and
end with status 1; the node logs it, reports it in /diagnostics and goes on. So that it can stand
behind "mtinet build: " or "front: image: ", one rule holds for all (test/test_error_sentences.py):

- It begins in lower case, unless with a name, a value or a path.
- It names the input and its value; after "; " follows what is allowed, or what to do.
- It is one line and has no full stop at its end.

    raise ConfigurationError(f"workspace_mb is {value}; allowed: 0 to {limit} MiB")

Nothing decides by the wording of a message: what code needs to know of an error is its class or an
attribute.
"""


class MtinetError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(MtinetError):
    """An option, a parameter or a configuration file asks for something that is not allowed."""


class ModelError(MtinetError):
    """A model file, its card or a checkpoint cannot be read, or does not keep the contract."""


class BackendError(MtinetError):
    """An inference backend is not installed, cannot run here, or failed while running."""


class BackendUnavailableError(BackendError):
    """A backend cannot run on this machine: a package, a driver or a device is missing.

    Attributes:
        problem: The thing that is missing, and what was found in its place.
        advice: The remedy; empty where there is none to name.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        """Keep both parts; the message is both."""
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        """Both parts as one sentence."""
        return f"{self.problem}; {self.advice}" if self.advice else self.problem


class BackendLostError(BackendError):
    """A backend failed for good: it must be closed; loading it again, or a restart, may help."""


class InputError(MtinetError):
    """One image or its camera information is unusable; the next one may be fine."""


class ExportError(MtinetError):
    """A network could not be turned into an artifact that keeps its promises."""


class DataError(MtinetError):
    """Training data or the assets to make it are missing, damaged or inconsistent."""
