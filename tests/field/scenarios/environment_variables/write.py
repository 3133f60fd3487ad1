import os

with open(snakemake.output[0], "w") as out:
    print(os.environ["FIELD_WORDS"], os.environ["FIELD_SET"], file=out)
