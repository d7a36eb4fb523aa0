"""Adapt to a link that changes: choose among the cuts of a bundle, and watch the link meanwhile."""

from collections.abc import Callable

from onnxsplit.errors import BundleError, UsageError
from onnxsplit.model.bundle import StoredBundle
from onnxsplit.runtime.controller import CutController
from onnxsplit.runtime.device_half import DeviceHalf
from onnxsplit.runtime.link_watch import LinkWatch
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.tiers import Link
from onnxsplit.workflows.device_halves import ConnectOptions, open_half


def open_adaptive_half(
    bundle: StoredBundle, url: str, options: ConnectOptions, controller: CutController
) -> DeviceHalf:
    """Open all cuts of a bundle, and begin to watch the link; closing the half ends both.

    Raises
    ------
    OnnxSplitError
        As of `onnxsplit.workflows.connecting.connect`.
    """

    def watch(remote: RemoteHalf) -> Callable[[], None]:
        watching = LinkWatch(controller, remote)
        watching.start()
        return watching.close

    cuts = [cut.id for cut in bundle.manifest.cuts]
    return open_half(bundle, url, options, cuts=cuts, chooser=controller, watch=watch)


def make_controller(bundle: StoredBundle, options: ConnectOptions) -> CutController:
    """Make what chooses among a bundle's cuts, beginning with the link that was planned for.

    Raises
    ------
    UsageError
        The bundle has no cuts to choose from, or an option leaves no choice.
    """
    if options.cut is not None:
        raise UsageError("--adaptive chooses the cut; leave out --cut-id.")
    if options.fallback == "error":
        raise UsageError(
            "--adaptive runs on the device while the link is down; leave out --fallback."
        )
    if not bundle.manifest.cuts:
        raise UsageError(
            f"{bundle.folder} holds a single cut; make one with several by `cut --frontier`."
        )
    try:
        (link,) = bundle.manifest.plan["links"]
        known = Link(
            up_bytes_per_second=link["up_bytes_per_second"],
            down_bytes_per_second=link["down_bytes_per_second"],
            round_trip_seconds=link["round_trip_seconds"],
        )
        return CutController(bundle.manifest.cuts, known)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError("The plan in the manifest is malformed; cut the model again.") from error
