"""Every error a caller can meet, in one tree.

::

    Exception
    ├── OnnxSplitError                     something about the input, the answer or the surroundings
    │   ├── UsageError                     an option or argument is wrong
    │   ├── OutputError                    a result could not be written
    │   ├── ModelError                     the model can't be read, carved or run
    │   │   ├── UnsupportedModelError      valid ONNX that can't be handled
    │   │   ├── UnknownShapeError          a size that is needed can't be known
    │   │   └── UnknownGradientError       an operator has no gradient rule
    │   ├── ProfileError                   a profile is malformed
    │   │   └── ProfileMismatchError       a profile belongs to another model
    │   ├── PlanError                      no plan can be made
    │   │   ├── InfeasiblePlacementError   the constraints admit no placement (a valid "no")
    │   │   └── CapacityOverflowError      costs exceed what the solver can represent
    │   ├── BundleError                    a bundle is malformed or incomplete
    │   │   ├── ParityError                the stages do not equal the whole (a valid "no")
    │   │   ├── ManifestVersionError       written by an unknown version
    │   │   └── ChecksumMismatchError      a file is not the one that was written
    │   └── TransportError                 the remote side
    │       ├── ConnectionLostError        the connection broke before the answer was here
    │       ├── LinkTimeoutError
    │       ├── PeerMismatchError
    │       ├── UntrustedPeerError         one side does not know, or not trust, the other
    │       └── ProtocolError
    │           └── RequestError           a server refuses a request, with a status
    └── InternalError                      a bug of ours: an invariant did not hold

``exit_code`` on each class is what the command line exits with (see README, "Exit codes").
Every message says what is wrong, which name or value, and how to mend it.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class OnnxSplitError(Exception):
    """Base of every error that a caller may want to handle."""

    exit_code: ClassVar[int] = 2


class UsageError(OnnxSplitError):
    """An option, argument or configuration value is wrong."""


class OutputError(OnnxSplitError):
    """A result could not be written: the folder is taken, the disk is full, access is denied."""


class ModelError(OnnxSplitError):
    """The model can't be read, carved or run."""


class UnsupportedModelError(ModelError):
    """The model is valid ONNX, but holds something that can't be handled."""


class UnknownShapeError(ModelError):
    """A size that is needed can't be known; the message names the dim and the flag to fix it."""


class UnknownGradientError(ModelError):
    """An operator has no gradient rule."""


class ProfileError(OnnxSplitError):
    """A profile is malformed."""


class ProfileMismatchError(ProfileError):
    """A profile belongs to another model."""


class PlanError(OnnxSplitError):
    """No plan can be made."""


class InfeasiblePlacementError(PlanError):
    """The constraints admit no placement: a valid "no", not a mistake in the input."""

    exit_code: ClassVar[int] = 1


class CapacityOverflowError(PlanError):
    """The costs exceed what the solver's integers can represent."""


class BundleError(OnnxSplitError):
    """A bundle is malformed or incomplete."""


class ParityError(BundleError):
    """The stages do not equal the whole model: a valid "no", not a mistake in the input."""

    exit_code: ClassVar[int] = 1


class ManifestVersionError(BundleError):
    """A file was written by an unknown version of its format."""


class ChecksumMismatchError(BundleError):
    """A file is not the one that the manifest describes."""


class TransportError(OnnxSplitError):
    """The remote side failed."""

    exit_code: ClassVar[int] = 3


class ConnectionLostError(TransportError):
    """The connection broke before the answer was here; asking once more may help."""


class LinkTimeoutError(TransportError):
    """The remote side did not answer in time."""


class PeerMismatchError(TransportError):
    """The remote side holds another model or another half."""


class UntrustedPeerError(TransportError):
    """The remote side is not trusted, does not let us in, or can't agree with us on TLS."""


class ProtocolError(TransportError):
    """The remote side answered something that the protocol does not allow."""


class RequestError(ProtocolError):
    """A server refuses a request.

    Parameters
    ----------
    message : str
        What is wrong with it and how to mend it.
    status : int
        The HTTP status that says so: 400 malformed, 404 no such model, 413 too large, 429 too many
        at once; other transports map it to their own.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        """Keep the status beside the sentence."""
        super().__init__(message)
        self.status = status


class InternalError(Exception):
    """An invariant of ours did not hold: a bug in onnxsplit, never the caller's mistake."""

    exit_code: ClassVar[int] = 70


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that helps someone who typed an unknown name.

    Parameters
    ----------
    name : str
        What was typed.
    known : iterable of str
        What there is.

    Returns
    -------
    str
        Close matches; else, for want of any, what there is.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    if not names:
        return "There are none."
    shown = 8
    return f"There are: {', '.join(names[:shown])}{', ...' if len(names) > shown else ''}."
