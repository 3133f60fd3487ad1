#!/usr/bin/env bash
echo "${snakemake_params[text]} ${snakemake[threads]} ${snakemake[rule]}" > "${snakemake_output[0]}"
cat "${snakemake_input[0]}" "${snakemake_input[named]}" >> "${snakemake_output[0]}"
