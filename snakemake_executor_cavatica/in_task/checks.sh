# What a job script and the program of a group do alike: they tell what happened, and look whether the
# outputs are as the rule declares them.
note() { printf '@TAG@ %s\n' "$1" >&2; }
folder_of() {
  case $1 in
    */*) [ -d "${1%/*}" ] || mkdir -p "${1%/*}" || die "cannot create ${1%/*}" ;;
  esac
}
touch_file() { [ -e "$1" ] || { folder_of "$1"; printf '' > "$1"; } || die "cannot create $1"; }
cavatica_flawed=
check_file() {
  if [ -d "$2" ]; then note "is-folder $1"; cavatica_flawed=1
  elif [ ! -e "$2" ]; then note "missing-output $1"; cavatica_flawed=1; fi
}
check_folder() {
  if [ -d "$2" ]; then :
  elif [ -e "$2" ]; then note "is-file $1"; cavatica_flawed=1
  else note "missing-output $1"; cavatica_flawed=1; fi
}
check_filled() { [ -s "$2" ] || { note "empty-output $1"; cavatica_flawed=1; }; }
check_sum() {
  cavatica_found=$("$3" < "$2") || die "cannot compute the checksum of $2"
  [ "${cavatica_found%% *}" = "$4" ] || { note "wrong-checksum $1"; cavatica_flawed=1; }
}
