say() { echo "said $1"; }
