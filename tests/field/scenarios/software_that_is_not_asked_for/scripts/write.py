print("modules", file=open(snakemake.output[0], "w"))
