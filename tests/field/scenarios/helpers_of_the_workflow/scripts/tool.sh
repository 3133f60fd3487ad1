. "$(dirname "$0")/functions.sh"
say "$1"
