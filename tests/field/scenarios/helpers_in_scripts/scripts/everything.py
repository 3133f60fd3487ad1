from pathlib import Path

parts = [
    snakemake.params[0],
    snakemake.params.named,
    dict(snakemake.params.items()),
    snakemake.resources.mem_mb,
    snakemake.resources["tool"],
    snakemake.rule,
    len(snakemake.log),
    snakemake.wildcards,
    Path(snakemake.output[0]).parent.name,
    bool(snakemake.resources.tmpdir),
]
Path(snakemake.output[0]).write_text("\n".join(map(str, parts)))
