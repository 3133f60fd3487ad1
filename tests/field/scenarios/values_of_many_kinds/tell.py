with open(snakemake.output[0], "w") as out:
    for name, value in snakemake.params.items():
        print(name, type(value).__name__, repr(value), file=out)
    for name, value in snakemake.config.items():
        print(repr(name), type(value).__name__, repr(value), file=out)
    print(snakemake.resources.note, file=out)
