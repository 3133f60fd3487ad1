"""The command `cavatica-local`, and `python -m cavatica_local`.

Apart from `cli.py`, which cannot even be loaded without the extra `local`.
"""

import sys
from importlib.util import find_spec

from cavatica_local.extra import NEEDED, how_to_install


def main(arguments: list[str] | None = None) -> int:
    """See that all is there, and do what the command line says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["verify-live"]:
        # It needs the API's client and no server.
        from snakemake_executor_cavatica.commands import verify_live  # noqa: PLC0415

        return verify_live.main(arguments[1:])
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"cavatica-local: {how_to_install(missing)}\n")
        return 2
    from cavatica_local import cli  # noqa: PLC0415

    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
