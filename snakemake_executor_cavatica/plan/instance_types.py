"""Which instance type to ask for, where the platform must not choose by itself.

CAVATICA picks the cheapest instance that fits a tool's cores and memory (documented), so a type is
sent only for a GPU or for another disk than the default one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..api.errors import ConfigurationError

DEFAULT_DISK_GB = 1024
"""Disk that an instance gets when nothing is asked for (from a documented example)."""
DISK_TYPE = "ebs-gp2"
MAX_DISK_GB = 4096
DISK_PRICE = 0.1 / 730
"""Dollars for a GB and an hour (AWS price list, us-east-1)."""


@dataclass(frozen=True)
class InstanceType:
    """An EC2 instance type; `price` is dollars an hour on demand in us-east-1 (AWS price list)."""

    name: str
    cores: int
    memory_gib: float
    gpus: int
    price: float


def _family(
    name: str, memory_per_core: float, price_per_core: float, sizes: dict[str, int]
) -> list[InstanceType]:
    return [
        InstanceType(f"{name}.{size}", cores, cores * memory_per_core, 0, cores * price_per_core)
        for size, cores in sizes.items()
    ]


_SIZES = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16}
CATALOG: tuple[InstanceType, ...] = (
    *_family("c5", 2, 0.0425, _SIZES | {"9xlarge": 36, "12xlarge": 48, "18xlarge": 72}),
    *_family("m5", 4, 0.048, _SIZES | {"8xlarge": 32, "12xlarge": 48, "24xlarge": 96}),
    *_family("r5", 8, 0.063, _SIZES | {"8xlarge": 32, "12xlarge": 48, "24xlarge": 96}),
    InstanceType("g4dn.xlarge", 4, 16, 1, 0.526),
    InstanceType("g4dn.2xlarge", 8, 32, 1, 0.752),
    InstanceType("g4dn.4xlarge", 16, 64, 1, 1.204),
    InstanceType("g4dn.8xlarge", 32, 128, 1, 2.176),
    InstanceType("g4dn.16xlarge", 64, 256, 1, 4.352),
    InstanceType("g4dn.12xlarge", 48, 192, 4, 3.912),
    InstanceType("p3.2xlarge", 8, 61, 1, 3.06),
    InstanceType("p3.8xlarge", 32, 244, 4, 12.24),
    InstanceType("p3.16xlarge", 64, 488, 8, 24.48),
)


def takes_certain_type(*, disk_mb: int, gpus: int | None) -> bool:
    """Whether the platform must not choose by itself."""
    return bool(gpus) or _gigabytes(disk_mb) > DEFAULT_DISK_GB


def choose_instance(*, cores: int, memory_mib: int, disk_mb: int, gpus: int | None) -> str | None:
    """The `instance_type` to send (`type;disk type;GB`), or None to let the platform choose.

    Raises:
        ConfigurationError: nothing in the catalog is large enough.
    """
    disk_gb = _gigabytes(disk_mb)
    if disk_gb > MAX_DISK_GB:
        raise ConfigurationError(
            f"disk_mb={disk_mb} is more than the {MAX_DISK_GB} GB that an instance can have; "
            "split the job, or name an instance with resource cavatica_instance_type."
        )
    cheapest = cheapest_type(cores=cores, memory_mib=memory_mib, gpus=gpus or 0)
    if cheapest is None:
        memory = f" and {memory_mib} MiB of memory" if memory_mib else ""
        with_gpus = f" and {gpus} GPUs" if gpus else ""
        largest = _MOST_GPUS if gpus else _LARGEST
        its_gpus = f" and {largest.gpus} GPUs" if gpus else ""
        raise ConfigurationError(
            f"No known instance type has {cores} cores{memory}{with_gpus} (the largest has "
            f"{largest.cores} cores and {largest.memory_gib * 1024:.0f} MiB{its_gpus}). Ask for "
            "less, or name one with resource cavatica_instance_type."
        )
    if not takes_certain_type(disk_mb=disk_mb, gpus=gpus):
        return None
    return f"{cheapest.name};{DISK_TYPE};{max(disk_gb, DEFAULT_DISK_GB)}"


def cheapest_type(*, cores: int, memory_mib: int, gpus: int = 0) -> InstanceType | None:
    """The one that the platform takes, by the catalog; None if none is large enough."""
    fitting = [
        one
        for one in CATALOG
        if _fits(one, cores, memory_mib) and one.gpus >= gpus and (gpus or not one.gpus)
    ]
    return min(fitting, key=lambda one: one.price, default=None)


def known_type(instance: str) -> InstanceType | None:
    """What the catalog has of an `instance_type`, with its disk or without."""
    name = instance.partition(";")[0]
    return next((one for one in CATALOG if one.name == name), None)


def disk_of(instance: str | None) -> int:
    """GB that an instance has by what is asked for."""
    size = (instance or "").rpartition(";")[2]
    return int(size) if size.isdecimal() else DEFAULT_DISK_GB


def check_named(instance: str, *, cores: int, memory_mib: int) -> None:
    """Refuse an `instance_type` that somebody has named, and that cannot work.

    The platform fails a task whose type is too small (documented). Whether it takes a type without
    its disk is not known.

    Raises:
        ConfigurationError: it is malformed, or known to be too small.
    """
    if ";" in instance and not _WITH_DISK.fullmatch(instance):
        raise ConfigurationError(
            f"the instance type {instance!r} is not of the form type;disk type;GB, such as "
            "c5.2xlarge;ebs-gp2;2000."
        )
    known = known_type(instance)
    if known is not None and not _fits(known, cores, memory_mib):
        raise ConfigurationError(
            f"the instance type {known.name} has {known.cores} cores and "
            f"{known.memory_gib * 1024:.0f} MiB of memory, and the job asks for {cores} and "
            f"{memory_mib}. Name a larger one, or none: then the platform takes the cheapest that "
            "fits."
        )


def _fits(one: InstanceType, cores: int, memory_mib: int) -> bool:
    return one.cores >= cores and one.memory_gib * 1024 >= memory_mib


def _gigabytes(disk_mb: int) -> int:
    return -(-disk_mb // 1000)


_LARGEST = max(
    (one for one in CATALOG if not one.gpus), key=lambda one: (one.memory_gib, one.cores)
)
_MOST_GPUS = max(CATALOG, key=lambda one: (one.gpus, one.memory_gib, one.cores))
_WITH_DISK = re.compile(r"[^;\s]+;[^;\s]+;[1-9][0-9]*")
