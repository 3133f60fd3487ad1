with open(snakemake.output[0], "w") as out:
    print(snakemake.params.half, snakemake.threads, snakemake.config, file=out)
