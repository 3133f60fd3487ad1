from lib.tables import read

table = {row[0]: row for row in read(snakemake.input.table)}
with open(snakemake.output[0], "w") as out:
    for name in open(snakemake.input.names).read().split():
        print(name, table[name][snakemake.params.column - 1], sep="\t", file=out)
