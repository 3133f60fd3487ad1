import tempfile

with tempfile.NamedTemporaryFile("w+") as file:
    file.write("temporary")
    file.flush()
    text = open(file.name).read()
with open(snakemake.output[0], "w") as out:
    print(text, bool(snakemake.resources.tmpdir), file=out)
