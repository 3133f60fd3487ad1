lines = open(snakemake.input[0]).read().splitlines()
number = len(snakemake.output)
for position, path in enumerate(snakemake.output):
    with open(path, "w") as out:
        print(*lines[position::number], file=out)
