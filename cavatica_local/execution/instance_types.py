"""Instance types: what their names say about cores, memory and price.

The provider's tables of types and prices are not known to this project. Cores and memory follow
from the cloud providers' naming; the prices are round numbers of the right magnitude, good enough
to see a price in a task and no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from cavatica_local.cwl.documents import Demand

_AWS = re.compile(r"(?P<family>[a-z]+\d+[a-z]*)\.(?P<factor>\d*)(?P<size>xlarge|large)\Z")
_GOOGLE = re.compile(r"n[12]d?-(?P<kind>standard|highmem|highcpu)-(?P<cores>\d+)\Z")
_GIB_PER_CORE = {"c": 1.875, "m": 4.0, "r": 7.625, "x": 15.25, "i": 7.625, "p": 7.625, "g": 4.0}
_FAMILIES: dict[str, tuple[float, float, tuple[int, ...]]] = {
    "c4": (1.875, 0.050, (1, 2, 4, 8)),
    "m4": (4.0, 0.050, (1, 2, 4, 10, 16)),
    "r4": (7.625, 0.0665, (1, 2, 4, 8, 16)),
    "c5": (2.0, 0.0425, (1, 2, 4, 9, 12, 18, 24)),
    "m5": (4.0, 0.048, (1, 2, 4, 8, 12, 16, 24)),
    "r5": (8.0, 0.063, (1, 2, 4, 8, 12, 16, 24)),
    "c6i": (2.0, 0.0425, (1, 2, 4, 8, 12, 16, 24, 32)),
    "m6i": (4.0, 0.048, (1, 2, 4, 8, 12, 16, 24, 32)),
    "r6i": (8.0, 0.063, (1, 2, 4, 8, 12, 16, 24, 32)),
    "c7i": (2.0, 0.0446, (1, 2, 4, 8, 12, 16, 24, 48)),
}
"""GiB and dollars an hour for each core (AWS price list, us-east-1), and the sizes in xlarge.

Other families follow the naming rule alone.
"""
_GOOGLE_GIB_PER_CORE = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}
_DISKS = {
    "ebs-gp2": "amazon-gp2",
    "ebs-gp3": "amazon-gp3",
    "pd-ssd": "pd-ssd",
    "pd-standard": "pd-standard",
}
_DISK_DEFAULT = 1024
_DISK_MAXIMUM = 65536
_CORE_HOUR = 0.05
_SPOT_SHARE = 0.4
_DISK_GB_HOUR = 0.00014
_PARTS_WITH_DISK = 3


@dataclass(frozen=True)
class Instance:
    """A machine with its disk."""

    type: str
    provider: str
    cores: int
    ram: float
    """MiB."""
    core_hour: float = _CORE_HOUR
    """Dollars."""
    disk_type: str = "amazon-gp2"
    disk_size: int = _DISK_DEFAULT

    def fits(self, demand: Demand) -> bool:
        """Whether an app with this demand can run on it."""
        return demand.cores <= self.cores and demand.ram <= self.ram

    def prices(self, hours: float, *, interruptible: bool) -> tuple[float, float]:
        """Dollars for computation and for storage."""
        share = _SPOT_SHARE if interruptible else 1.0
        return hours * self.cores * self.core_hour * share, hours * self.disk_size * _DISK_GB_HOUR


def parse(text: str, *, allow_bare: bool) -> Instance:
    """An instance from `type;disk;GB` (documented); whether a bare type will do is not known."""
    parts = text.split(";")
    instance = _machine(parts[0])
    if len(parts) == 1 and allow_bare:
        return instance
    if len(parts) != _PARTS_WITH_DISK:
        raise ValueError(f"instance type '{text}' is not of the form type;disk type;GB")
    if parts[1] not in _DISKS:
        raise ValueError(f"disk type '{parts[1]}' is not one of {', '.join(_DISKS)}")
    if not parts[2].isdecimal() or not 1 <= int(parts[2]) <= _DISK_MAXIMUM:
        raise ValueError(f"disk size '{parts[2]}' is no number of GB up to {_DISK_MAXIMUM}")
    return replace(instance, disk_type=_DISKS[parts[1]], disk_size=int(parts[2]))


def _machine(name: str) -> Instance:
    if match := _GOOGLE.match(name):
        cores = int(match["cores"])
        ram = cores * _GOOGLE_GIB_PER_CORE[match["kind"]] * 1024
        return Instance(name, "GCP", cores, ram, disk_type="pd-ssd")
    match = _AWS.match(name)
    if match is None or (match["factor"] and match["size"] == "large"):
        raise ValueError(f"there is no instance type '{name}'")
    factor = int(match["factor"] or 1)
    cores = 2 if match["size"] == "large" else 4 * factor
    gib, price, sizes = _FAMILIES.get(
        match["family"], (_GIB_PER_CORE.get(match["family"][0]), _CORE_HOUR, (factor,))
    )
    if gib is None or factor not in sizes:
        raise ValueError(f"there is no instance type '{name}'")
    return Instance(name, "AWS", cores, cores * gib * 1024, price)


_OFFERED = sorted(
    (
        _machine(f"{family}.{size}")
        for family in ("c5", "m5", "r5")
        for size in ("large", "xlarge", *(f"{factor}xlarge" for factor in _FAMILIES[family][2][1:]))
    ),
    key=lambda instance: (instance.cores * instance.core_hour, instance.ram),
)


def cheapest(demand: Demand) -> Instance:
    """The cheapest offered type that fits (documented: the scheduler chooses like this)."""
    for instance in _OFFERED:
        if instance.fits(demand):
            return instance
    raise ValueError(f"no instance has {demand.cores:g} cores and {demand.ram:g} MiB of memory")


def chosen(wanted: object, demand: Demand, *, allow_bare: bool) -> Instance:
    """The instance of a task: the type that was asked for, which has to be large enough, or the
    cheapest one that fits.
    """
    if isinstance(wanted, list):
        wanted = wanted[0] if wanted else None
    if not isinstance(wanted, str) or wanted.upper() == "AUTO":
        return cheapest(demand)
    instance = parse(wanted, allow_bare=allow_bare)
    if not instance.fits(demand):
        raise ValueError(
            f"the instance type {instance.type} is too small: {demand.cores:g} cores and "
            f"{demand.ram:g} MiB of memory are required"
        )
    return instance
