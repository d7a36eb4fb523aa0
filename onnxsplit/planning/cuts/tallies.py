"""What many placements of a device and a server are charged, all at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.planning.costs.charges import Charges, Floats

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Sums of charges for many placements.

    Parameters
    ----------
    charges : Charges
        Of two tiers, without virtual vertices and shared parameters: those of inference.
    allowed : ndarray of bool, shape (cells, 2)
        Which cell may run on which tier.
    """

    charges: Charges
    allowed: Rows

    def add_up(self, on_device: Rows) -> tuple[Floats, Rows]:
        """Add up what placements are charged.

        Parameters
        ----------
        on_device : ndarray of bool, shape (placements, cells)
            Closed under predecessors.

        Returns
        -------
        ndarray of float64, shape (placements, columns)
        ndarray of bool, shape (placements,)
            Whether the placement is allowed and lets nothing stuck cross.

        Notes
        -----
        O(placements x (cells + readings)) in whole-array steps.
        """
        charges = self.charges
        finite = np.nan_to_num(charges.vertices, posinf=0.0)
        total = on_device @ finite[:, 0] + ~on_device @ finite[:, 1] + charges.always
        barred: Rows = np.zeros(len(on_device), dtype=np.bool_)
        barred |= (on_device & ~self.allowed[:, 0]).any(axis=1)
        barred |= (~on_device & ~self.allowed[:, 1]).any(axis=1)
        total += np.outer(~on_device.all(axis=1), charges.beyond[0])
        total += np.outer(on_device.any(axis=1), charges.first + charges.before[0])
        for charge in charges.tensors:
            readers = on_device[:, list(charge.readers)]
            if charge.starts_at_last:
                crosses = readers.any(axis=1)
            else:
                crosses = ~readers.all(axis=1) | charge.ends_at_last
                if charge.maker is not None:
                    crosses &= on_device[:, charge.maker]
            if np.isfinite(charge.forward[0]).all():
                total += np.outer(crosses, charge.forward[0])
            else:
                barred |= crosses
        return total, np.logical_not(barred)
