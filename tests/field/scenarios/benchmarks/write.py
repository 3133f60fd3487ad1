with open(snakemake.output[0], "w") as out:
    print(snakemake.bench_iteration, file=out)
