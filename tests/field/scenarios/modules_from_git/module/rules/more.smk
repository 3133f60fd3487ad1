def greet(text):
    return config["word"] + ": " + text


rule by_run:
    input:
        "data/{sample}.txt",
    output:
        "out/{sample}.run.txt",
    run:
        with open(output[0], "w") as out:
            out.write(greet(open(input[0]).read()))
