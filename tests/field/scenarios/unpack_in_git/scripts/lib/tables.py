"""Imported by a script, from a folder beside it."""


def read(path):
    with open(path) as lines:
        return [line.rstrip("\n").split("\t") for line in lines]
