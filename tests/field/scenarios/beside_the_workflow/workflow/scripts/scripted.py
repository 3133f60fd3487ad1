import subprocess

import field_module

said = subprocess.run(["field-tool"], capture_output=True, text=True, check=True).stdout
open(snakemake.output[0], "w").write(f"{said}{field_module.X} {hash('abc')}\n")
