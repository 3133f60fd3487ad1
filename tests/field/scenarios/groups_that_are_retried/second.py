if snakemake.resources.step < 2:
    raise SystemExit("not yet")
open(snakemake.output[0], "w").write(f"{snakemake.resources.step}")
