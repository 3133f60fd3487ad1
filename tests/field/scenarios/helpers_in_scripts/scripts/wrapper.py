"""As wrappers are written."""

from tempfile import TemporaryDirectory

from snakemake.shell import shell

log = snakemake.log_fmt_shell(stdout=False, stderr=True)
extra = snakemake.params.get("extra", "")
missing = snakemake.params.get("missing", "default")
with TemporaryDirectory() as folder:
    shell(
        "(cat {extra} {snakemake.input.reads} > {folder}/joined.txt;"
        " mv {folder}/joined.txt {snakemake.output.joined};"
        " echo {snakemake.threads} {missing} >&2) {log}"
    )
