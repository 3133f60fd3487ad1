"""Used by the Snakefile itself."""


def label(name):
    return f"label-{name}"
