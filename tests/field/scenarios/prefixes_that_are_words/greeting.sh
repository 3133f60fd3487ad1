echo "${GREETING:-no}" > "${snakemake_output[0]}"
