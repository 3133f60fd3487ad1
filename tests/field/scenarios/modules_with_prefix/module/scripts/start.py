with open(snakemake.output[0], "w") as out:
    for number in range(snakemake.params.times):
        print("line", number, file=out)
