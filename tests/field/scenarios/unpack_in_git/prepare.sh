git init -q .
git add Snakefile config data scripts docs
git -c user.name=me -c user.email=me@example.org commit -q -m first
