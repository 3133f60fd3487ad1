import os
from pathlib import Path

import helper

assert Path(snakemake.scriptdir, "helper.py").exists()
with open(snakemake.output[0], "w") as out:
    print(helper.joined(snakemake.params.numbers), snakemake.params.nested, file=out)
    print(snakemake.params.function, snakemake.config["deep"], snakemake.rule, file=out)
    print([os.path.basename(path) for path in snakemake.input.named], file=out)
    out.write(Path(snakemake.input[0]).read_text())
