X = "module"
