"""Bands of 5G New Radio, with what their links are taken to be where a scenario doesn't say.

Carriers lie inside the bands of 3GPP TS 38.101-1, table 5.2-1 (n1, n78), and TS 38.101-2, table
5.2-1 (n257); compared with the tables of TS 38.104 V17.6.0 as the package nrarfcn has them. A
device's 23 dBm is power class 3 in TS 38.101-1, the default class (compared with TS 38.101-3, table
6.2B.1.1-1). At n257 it is what a handheld device may radiate in all directions together; no source
was at hand for that. All other figures are assumptions of the size that system studies use; a
scenario can replace each.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A band with the usual figures of its links.

    Parameters
    ----------
    name : str
    uplink_hertz, downlink_hertz : float
        Carriers; the same where both ways take turns.
    bandwidth_hertz : float
        For one device, each way.
    device_power_dbm, station_power_dbm : float
        What is sent over this bandwidth.
    device_gain_db, station_gain_db : float
        Of the antennas, formed beams included.
    device_noise_db, station_noise_db : float
        Noise figures of the receivers.
    source : str
        Where the figures are from.
    """

    name: str
    uplink_hertz: float
    downlink_hertz: float
    bandwidth_hertz: float
    device_power_dbm: float = 23.0
    station_power_dbm: float = 33.0
    device_gain_db: float = 0.0
    station_gain_db: float = 8.0
    device_noise_db: float = 9.0
    station_noise_db: float = 5.0
    source: str = ""


_ASSUMED = "bandwidth, gains, noise figures and the station's power are assumptions, not sourced"
_USUAL = f"power class 3 for the device; {_ASSUMED}"

BANDS: Mapping[str, Band] = {
    band.name: band
    for band in (
        Band(
            name="n1",
            uplink_hertz=1.95e9,
            downlink_hertz=2.14e9,
            bandwidth_hertz=20e6,
            source=f"3GPP TS 38.101-1, table 5.2-1 (1920-1980 and 2110-2170 MHz); {_USUAL}",
        ),
        Band(
            name="n78",
            uplink_hertz=3.5e9,
            downlink_hertz=3.5e9,
            bandwidth_hertz=20e6,
            source=f"3GPP TS 38.101-1, table 5.2-1 (3300-3800 MHz); {_USUAL}",
        ),
        Band(
            name="n257",
            uplink_hertz=28e9,
            downlink_hertz=28e9,
            bandwidth_hertz=100e6,
            device_gain_db=9.0,
            station_gain_db=24.0,
            device_noise_db=10.0,
            station_noise_db=7.0,
            source=f"3GPP TS 38.101-2, table 5.2-1 (26.5-29.5 GHz); the device's power and its"
            f" {_ASSUMED}",
        ),
    )
}
