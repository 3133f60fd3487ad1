# What an earlier run has left: the workflow makes it anew, or adds to it.
echo old > run.info
echo old > parsed.log
ln -s data/b.txt newest.txt
mkdir -p sheets
echo old > sheets/gone.tsv
echo "set by hand" > .noterc
