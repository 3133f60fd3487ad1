"""Imported by the script beside it."""


def joined(values):
    return "|".join(map(str, values))
