import csv


def read_samples(path):
    """Return the sample sheet as {sample: file of reads}."""
    with open(path, newline="") as handle:
        return {row["sample"]: row["reads"] for row in csv.DictReader(handle, delimiter="\t")}


SAMPLES = read_samples(config["samples"])


wildcard_constraints:
    sample="|".join(SAMPLES),
    start=r"\d+",
    end=r"\d+",


def reads_of(wildcards):
    """Return the reads of one sample."""
    return SAMPLES[wildcards.sample]


def called_regions(wildcards):
    """Return the calls of all regions that the checkpoint chose."""
    with checkpoints.select_regions.get().output.regions.open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return [f"results/calls/{row['sample']}/{row['start']}-{row['end']}.tsv" for row in rows]
