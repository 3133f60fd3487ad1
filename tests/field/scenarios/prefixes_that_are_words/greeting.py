import os

with open(snakemake.output[0], "w") as target:
    print(os.environ.get("GREETING"), file=target)
    for file in snakemake.input:
        print(open(file).read(), file=target)
