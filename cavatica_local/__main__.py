"""The command `cavatica-local`, and `python -m cavatica_local`.

Apart from `cli.py`, which cannot even be loaded without the extra `local`.
"""

import sys
from importlib.metadata import entry_points
from importlib.util import find_spec

from cavatica_local import switches
from cavatica_local.extra import NEEDED, how_to_install

COMMANDS = "cavatica_local.commands"
"""Entry points of this group are commands of others: this package imports nothing of a client."""
VERIFY_LIVE = "verify-live"


def main(arguments: list[str] | None = None) -> int:
    """See that all is there, and do what the command line says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [VERIFY_LIVE]:
        return _verify_live(arguments[1:])
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"cavatica-local: {how_to_install(missing)}\n")
        return 2
    from cavatica_local import cli  # noqa: PLC0415

    return cli.main(arguments)


def _verify_live(arguments: list[str]) -> int:
    """Run the command that compares a platform with this one: it needs a client and no server."""
    for command in entry_points(group=COMMANDS, name=VERIFY_LIVE):
        status: int = command.load()(arguments, switches.assumed_values(), switches.accepts)
        return status
    sys.stderr.write(
        f"cavatica-local: {VERIFY_LIVE} comes with the Snakemake plugin, which is not installed "
        "here: pip install snakemake-executor-plugin-cavatica\n"
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
