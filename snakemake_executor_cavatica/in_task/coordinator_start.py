"""Starts a coordinator in its task: a bundle becomes folders, and a Python that finds the plugin.

Runs where this package is not installed. Arguments: the bundle, and the file with the token.
"""

import importlib.util
import os
import sys
import tarfile

FOLDER = "coordinator"
OLDEST = (3, 11)
NEEDED = ("snakemake", "requests", "pydantic", "tenacity")
"""Of what the plugin imports; Snakemake brings the others, too."""


def main() -> None:
    """Unpack, and become the coordinator."""
    bundle, token = sys.argv[1:3]
    if sys.version_info < OLDEST:
        sys.exit(f"This image has Python {sys.version.split()[0]}, and 3.11 or newer is needed.")
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        sys.exit(
            f"This image lacks {', '.join(lacking)}, at least for the Python that the command "
            f"`python` is ({sys.executable}). Name one that holds a current Snakemake by --image."
        )
    with tarfile.open(bundle) as archive:
        archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # older ones have none
        archive.extractall(FOLDER)
    folder = os.path.realpath(FOLDER)
    paths = [os.path.join(folder, "plugin"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    module = "snakemake_executor_cavatica.coordinator.inside"
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, folder, token])


if __name__ == "__main__":
    main()
