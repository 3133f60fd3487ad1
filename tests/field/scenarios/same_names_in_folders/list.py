with open(snakemake.output[0], "w") as out:
    for path in [snakemake.input.first, *snakemake.input.rest]:
        print(path[-20:], open(path).read().strip(), file=out)
