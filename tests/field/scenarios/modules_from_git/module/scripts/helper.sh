echo helped
cat "$1"
