from snakemake.shell import shell

log = snakemake.log_fmt_shell(stdout=False, stderr=True)
extra = snakemake.params.get("extra", "")
shell("(cat {snakemake.input.reads}; echo {extra}) > {snakemake.output[0]} {log}")
