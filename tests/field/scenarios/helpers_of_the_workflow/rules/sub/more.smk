rule included:
    output:
        "out/included.txt",
    params:
        text=workflow.source_path("../../resources/text.txt"),
    run:
        with open(output[0], "w") as out:
            out.write(open(params.text).read())
