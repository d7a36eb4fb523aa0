"""Which runtime each tier runs on: what the caller says, else what its profile was measured on."""

from collections.abc import Mapping
from typing import Any

from onnxsplit.engines.opening import describe_environment
from onnxsplit.engines.port import DEFAULT_RUNTIME, RUNTIMES, EngineOptions, Runtime, read_runtime
from onnxsplit.errors import UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import list_stages
from onnxsplit.profiles import Profile
from onnxsplit.workflows.targets import LocalTier


def assign_engines(
    tiers: Mapping[str, Profile | LocalTier],
    base: EngineOptions,
    *,
    device_runtime: Runtime | None = None,
    server_runtime: Runtime | None = None,
) -> dict[str, EngineOptions]:
    """Return what each tier runs on.

    Parameters
    ----------
    tiers : mapping of str to Profile or LocalTier
        The device side first.
    base : EngineOptions
        Threads, and the provider where the runtime is its own.
    device_runtime, server_runtime : str, optional
        Of the first and the last tier; that of its profile if not given, else onnxruntime.

    Raises
    ------
    UsageError
        A profile was measured on another runtime than the one that is asked for.
    """
    first, last = next(iter(tiers)), list(tiers)[-1]
    asked = {
        last: (server_runtime, "--server-runtime"),
        first: (device_runtime, "--device-runtime"),
    }
    return {
        tier: base.on(_settle(tier, source, *asked.get(tier, (None, ""))))
        for tier, source in tiers.items()
    }


def choose_engines(
    manifest: Manifest,
    base: EngineOptions,
    *,
    device_runtime: Runtime | None = None,
    server_runtime: Runtime | None = None,
) -> dict[str, EngineOptions]:
    """Return what each stage of a bundle runs on.

    Parameters
    ----------
    manifest : Manifest
    base : EngineOptions
        Threads, and the provider where the runtime is its own.
    device_runtime, server_runtime : str, optional
        Of the first and the last tier; what the stage was cut for if not given.

    Raises
    ------
    UsageError
        The bundle was cut for a runtime that there is not.
    """
    runtimes = {stage.tier: read_runtime(stage.runtime) for stage in list_stages(manifest)}
    tiers = tuple(manifest.plan.get("tiers", ())) or tuple(runtimes)
    chosen = {tiers[-1]: server_runtime, tiers[0]: device_runtime}
    return {tier: base.on(chosen.get(tier) or runtime) for tier, runtime in runtimes.items()}


def describe_engines(engines: Mapping[str, EngineOptions]) -> dict[str, Any]:
    """Return what a measurement on all tiers depends on: once, if it is the same for all.

    Raises
    ------
    UsageError
        A runtime is not installed.
    """
    described = {tier: describe_environment(engine) for tier, engine in engines.items()}
    first, *others = described.values()
    return first if all(other == first for other in others) else {"tiers": described}


def find_runtime(profile: Profile) -> Runtime | None:
    """Return the runtime that a profile was measured on, as far as it tells."""
    named = profile.environment.get("runtime")
    return next((r for r in RUNTIMES if r == named or r in profile.environment), None)


def _settle(tier: str, source: Profile | LocalTier, asked: Runtime | None, flag: str) -> Runtime:
    """Settle the runtime of one tier."""
    measured = find_runtime(source) if isinstance(source, Profile) else None
    if asked is not None and measured is not None and asked != measured:
        raise UsageError(
            f"{flag} {asked}: the {tier} profile was measured on {measured}; give a profile that"
            f" `onnxsplit profile --runtime {asked}` measured there, or leave out {flag}."
        )
    return asked or measured or DEFAULT_RUNTIME
