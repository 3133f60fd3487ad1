with open(snakemake.output[0], "w") as out:
    print(sorted(snakemake.config.items()), file=out)
