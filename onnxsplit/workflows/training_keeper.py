"""Checkpoints of a training: when they are written, and how a training goes on from one."""

from dataclasses import dataclass
from pathlib import Path

from onnxsplit.errors import ChecksumMismatchError, UsageError
from onnxsplit.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from onnxsplit.training.device import DeviceHalf
from onnxsplit.training.loop import Standing
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.schedules import RateSchedule
from onnxsplit.training.scores import Tally
from onnxsplit.training.section import TrainingSection
from onnxsplit.workflows.training_requests import TrainingRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Writes checkpoints and goes on from them.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    every : int or None
        Steps between two checkpoints within an epoch.
    section : TrainingSection
    request : TrainingRequest
    schedule : RateSchedule
    clients : int
    """

    folder: Path | None
    every: int | None
    section: TrainingSection
    request: TrainingRequest
    schedule: RateSchedule
    clients: int = 1

    def __post_init__(self) -> None:
        """Refuse checkpoints that go nowhere, or within a round of several clients."""
        if self.every is not None and self.folder is None:
            raise UsageError(
                "--checkpoint-every says how often a checkpoint is kept; name its folder by"
                " --checkpoint."
            )
        if self.every is not None and self.clients > 1:
            raise UsageError(
                "With several clients a checkpoint is kept after each round; leave out"
                " --checkpoint-every."
            )

    def resume(self, device: DeviceHalf, server: ServerPort) -> Standing:
        """Bring both halves to where the checkpoint stands.

        Raises
        ------
        UsageError
            No folder is known, or the checkpoint was made with other options.
        ChecksumMismatchError
            It is of another bundle.
        """
        if self.folder is None:
            raise UsageError("--resume goes on from a checkpoint; name its folder by --checkpoint.")
        if not self.folder.exists():
            return Standing()
        kept = read_checkpoint(self.folder)
        if kept.bundle != self.section.fingerprint:
            raise ChecksumMismatchError(
                f"The checkpoint {self.folder} belongs to another bundle; train that one, or begin"
                " anew without --resume."
            )
        self._check_options(kept)
        on_device, on_server = (kept.states[tier] for tier in self.section.tiers)
        device.write_state(on_device)
        server.write_state(on_server, step=kept.step)
        return Standing(
            step=kept.step,
            epoch=kept.epoch,
            place=kept.place,
            tally=Tally.from_json(dict(kept.tally)),
        )

    def keep(
        self, device: DeviceHalf, server: ServerPort, standing: Standing, *, is_epoch: bool
    ) -> None:
        """Write a checkpoint if its time has come."""
        if self.folder is None:
            return
        if not is_epoch and (self.every is None or standing.step % self.every):
            return
        self.write(device, server, standing)

    def write(self, device: DeviceHalf, server: ServerPort, standing: Standing) -> None:
        """Write a checkpoint; UsageError if no folder is known."""
        if self.folder is None:
            raise UsageError("There is no folder for a checkpoint; name one by --checkpoint.")
        on_device, on_server = self.section.tiers
        write_checkpoint(
            self.folder,
            Checkpoint(
                bundle=self.section.fingerprint,
                step=standing.step,
                epoch=standing.epoch,
                place=standing.place,
                seed=self.request.seed if self.request.shuffle else None,
                batch_size=self.request.batch_size,
                clients=self.clients,
                scheme=self.request.scheme,
                schedule=self.schedule.to_json(),
                tally=standing.tally.to_json(),
                states={on_device: device.read_state(), on_server: server.read_state()},
            ),
        )

    def _check_options(self, kept: Checkpoint) -> None:
        """Refuse to go on in another way than the training began."""
        asked: dict[str, object] = {
            "the seed": self.request.seed if self.request.shuffle else None,
            "the batch size": self.request.batch_size,
            "the learning-rate schedule": self.schedule.to_json(),
            "the number of clients": self.clients,
            "the scheme": self.request.scheme,
        }
        found: dict[str, object] = {
            "the seed": kept.seed,
            "the batch size": kept.batch_size,
            "the learning-rate schedule": dict(kept.schedule),
            "the number of clients": kept.clients,
            "the scheme": kept.scheme,
        }
        for what, value in asked.items():
            if value != found[what]:
                raise UsageError(
                    f"The checkpoint {self.folder} was made with other options: {what} was"
                    f" {found[what]}, and is {value}. Give those, or begin anew without --resume."
                )
