set -e
echo "bash gave up" >&2
exit 4
