with open(config["samples"]) as sheet:
    UNITS = list(csv.DictReader(sheet, delimiter="\t"))
SAMPLES = sorted({unit["sample"] for unit in UNITS})


wildcard_constraints:
    sample="|".join(SAMPLES),
    unit=r"L\d+",


def reads(wildcards):
    return next(
        unit["reads"]
        for unit in UNITS
        if (unit["sample"], unit["unit"]) == (wildcards.sample, wildcards.unit)
    )


def units(wildcards):
    return [
        f"results/trimmed/{unit['sample']}_{unit['unit']}.fq"
        for unit in UNITS
        if unit["sample"] == wildcards.sample
    ]
