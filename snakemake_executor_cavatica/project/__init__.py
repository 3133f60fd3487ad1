"""The files of a platform project: paths, index, transfers, and the connection to it."""
