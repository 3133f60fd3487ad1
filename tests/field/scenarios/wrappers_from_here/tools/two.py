open(snakemake.output[0], "w").write(snakemake.wildcards.which + "\n")
