with open(snakemake.output[0], "w") as out:
    print("script", file=out)
