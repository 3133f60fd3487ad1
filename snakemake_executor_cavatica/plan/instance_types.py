"""Which instance type to ask for, where the platform must not choose by itself.

CAVATICA picks the cheapest instance that fits a tool's cores and memory (documented), so a type is
sent only for a GPU or for a disk larger than the default one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..api.errors import ConfigurationError

DEFAULT_DISK_GB = 1024
"""Disk that an instance gets when nothing is asked for (from a documented example)."""
DISK_TYPE = "ebs-gp2"
_MAX_DISK_GB = 4096


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


def choose_instance(
    *, cores: int, memory_mib: int, disk_mb: int | None, gpus: int | None
) -> str | None:
    """The `instance_type` to send (`type;disk type;GB`), or None to let the platform choose.

    Raises:
        ConfigurationError: nothing in the catalog is large enough.
    """
    disk_gb = -(-(disk_mb or 0) // 1000)
    if not gpus and disk_gb <= DEFAULT_DISK_GB:
        return None
    if disk_gb > _MAX_DISK_GB:
        raise ConfigurationError(
            f"disk_mb={disk_mb} is more than the {_MAX_DISK_GB} GB that an instance can have; "
            "split the job, or name an instance with resource cavatica_instance_type."
        )
    fitting = [
        instance
        for instance in CATALOG
        if instance.cores >= cores
        and instance.memory_gib * 1024 >= memory_mib
        and instance.gpus >= (gpus or 0)
        and (gpus or not instance.gpus)
    ]
    if not fitting:
        raise ConfigurationError(
            f"No known instance type has {cores} cores, {memory_mib} MiB of memory and "
            f"{gpus or 0} GPUs; name one with resource cavatica_instance_type."
        )
    cheapest = min(fitting, key=lambda instance: instance.price)
    return f"{cheapest.name};{DISK_TYPE};{max(disk_gb, DEFAULT_DISK_GB)}"
