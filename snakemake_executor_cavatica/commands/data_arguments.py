"""The options of the commands that are about files of projects."""

from __future__ import annotations

import argparse
import os

from .platform_arguments import Commands, add_platform_options

_PLACES = (
    "Places on the platform are written cavatica://owner/project/path, as in workflows; in those "
    "of files that exist, *, ? and [] match parts of names, and ** any folders."
)
_WHERE = (
    "One file or folder becomes TARGET itself; if that ends with a slash, or there are several, "
    "each goes into it under its own name."
)
_AGAIN = (
    "What is there already is not sent again, so that the same command goes on where another one "
    "was stopped; large files go on where they were."
)


def add_data_commands(commands: Commands) -> None:
    """Those that bring files to projects and from there, and show and remove them."""
    _add_put(commands)
    _add_get(commands)
    _add_ls(commands)
    _add_rm(commands)
    _add_samples(commands)


def _add_put(commands: Commands) -> None:
    parser = _parser(
        commands,
        "put",
        "upload files and folders to a project",
        f"{_WHERE} {_AGAIN} A checksum of each file is kept in its metadata.",
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="file or folder on this machine")
    add("target", metavar="TARGET", help="cavatica://owner/project/path")
    add(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="metadata of all these files; may be repeated",
    )
    add(
        "--metadata-from",
        metavar="PATTERN",
        help="metadata by the names of the files, as in {sample_id}_R{paired_end}.fastq.gz",
    )
    _add_choice(parser)


def _add_get(commands: Commands) -> None:
    parser = _parser(
        commands,
        "get",
        "download files and folders from a project",
        f"{_WHERE} {_AGAIN} What `put` has sent is compared with its checksum.",
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="cavatica://owner/project/path")
    add("target", metavar="TARGET", help="file or folder on this machine; . is this folder")
    _add_choice(parser)


def _add_ls(commands: Commands) -> None:
    parser = _parser(commands, "ls", "list files of a project", "")
    add = parser.add_argument
    add("places", nargs="+", metavar="PLACE", help="cavatica://owner/project/path")
    add("-l", "--long", action="store_true", help="with size, time, id and metadata")
    add("-r", "--recursive", action="store_true", help="also what is in folders")
    add("--json", action="store_true", help="for programs")


def _add_rm(commands: Commands) -> None:
    parser = _parser(
        commands,
        "rm",
        "delete files of a project",
        "Says what would go, and asks. It cannot be undone.",
    )
    add = parser.add_argument
    add("places", nargs="+", metavar="PLACE", help="cavatica://owner/project/path")
    add("-r", "--recursive", action="store_true", help="also folders, with all that is in them")
    add("--dry-run", action="store_true", help="only list what would be deleted")
    add("--yes", action="store_true", help="delete without asking")


def _add_samples(commands: Commands) -> None:
    parser = _parser(
        commands,
        "samples",
        "write a table of files and their metadata, as a workflow reads it",
        "A row a file; with --group-by a row a sample, with its reads (r1, r2 by paired_end) and "
        "all else that its files agree on.",
    )
    add = parser.add_argument
    add("places", nargs="*", metavar="PLACE", help="where to look (default: the whole project)")
    add(
        "--project",
        default=os.environ.get("SNAKEMAKE_CAVATICA_PROJECT"),
        help="project of the files, as owner/project",
    )
    add("--folder", default="snakemake", help="the runs' folder, left out (default: snakemake)")
    add(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only files with that metadata; of one key several values are alternatives",
    )
    add("--group-by", metavar="KEYS", help="such as sample_id, or sample_id,library_id")
    add("-o", "--output", metavar="FILE", help="ends with .tsv, .csv or .json (default: stdout)")
    add("--format", choices=("tsv", "csv", "json"), help="default: as FILE ends, else tsv")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dry-run", action="store_true", help="only list what would be sent")
    add("--overwrite", action="store_true", help="replace files that have another content")
    add(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="of what is in folders only files of these names or paths; may be repeated",
    )
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="without files and folders of these names or paths; may be repeated",
    )


def _parser(commands: Commands, name: str, what: str, more: str) -> argparse.ArgumentParser:
    description = f"{what[0].upper()}{what[1:]}. {more} {_PLACES}"
    parser = commands.add_parser(name, help=what, description=description)
    add_platform_options(parser)
    return parser
