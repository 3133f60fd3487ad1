import sys

sys.stderr = open(snakemake.log[0], "w")
print("reading", snakemake.wildcards.sample, file=sys.stderr)
with open(snakemake.output[0], "w") as out:
    for path in snakemake.input:
        if path != snakemake.input.sheet:
            lines = open(path).read().splitlines()
            print(snakemake.config["suffix"], len(lines), lines[1], sep="\t", file=out)
