import pandas as pd

values = snakemake.params["simulation"]
pd.DataFrame([values]).to_csv(snakemake.output[0], sep="\t", index=False)
