"""Starts a coordinator in its task: a bundle becomes folders, and a Python that finds the plugin.

Runs where this package is not installed. Arguments: the bundle, and the file with the token.
"""

import importlib.util
import os
import sys
import tarfile

FOLDER = "coordinator"


def main() -> None:
    """Unpack, and become the coordinator."""
    bundle, token = sys.argv[1:3]
    if importlib.util.find_spec("snakemake") is None:
        sys.exit(
            "There is no Snakemake in this image, at least not for the Python that the command "
            f"`python` is ({sys.executable}). Name an image that has it by --image."
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
