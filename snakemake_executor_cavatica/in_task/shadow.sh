# Directories of their own for jobs of a group, as Snakemake makes them for `shadow:` rules. What the
# job makes there and does not declare is gone afterwards.
enter_shadow() {
  cavatica_place=.snakemake/shadow/$1
  mkdir -p "$cavatica_place" || die "cannot create a shadow directory"
}
place_in_shadow() {
  case $1 in
    */*) mkdir -p "$cavatica_place/${1%/*}" || die "cannot create ${1%/*} in a shadow directory" ;;
  esac
}
link_into_shadow() {
  if [ -e "$cavatica_place/$1" ]; then return; fi
  place_in_shadow "$1"
  ln -s "$PWD/$1" "$cavatica_place/$1" || die "cannot link $1 into a shadow directory"
}
copy_into_shadow() {
  if [ -e "$cavatica_place/$1" ]; then return; fi
  place_in_shadow "$1"
  cp -RL "$1" "$cavatica_place/$1" || die "cannot copy $1 into a shadow directory"
}
link_all_into_shadow() {
  for cavatica_path in * .[!.]* ..?*; do
    if [ -e "$cavatica_path" ] || [ -L "$cavatica_path" ]; then link_into_shadow "$cavatica_path"; fi
  done
}
# All folders, with links to all files in them.
link_tree_into_shadow() {
  {
    find . -path ./.snakemake -prune -o -type d -exec sh -c '
      for f; do mkdir -p "$0/$f" || exit; done' "$PWD/$cavatica_place" {} + &&
      find . -path ./.snakemake -prune -o ! -type d -exec sh -c '
        for f; do ln -s "$PWD/$f" "$0/$f" || exit; done' "$PWD/$cavatica_place" {} +
  } || die "cannot link what is there into a shadow directory"
}
take_out_of_shadow() {
  if [ ! -e "$cavatica_place/$1" ] && [ ! -L "$cavatica_place/$1" ]; then return; fi
  if [ "$cavatica_place/$1" -ef "$1" ]; then return; fi
  { rm -rf "$1" && mv "$cavatica_place/$1" "$1"; } || die "cannot take $1 out of a shadow directory"
}
leave_shadow() { rm -rf "$cavatica_place"; }
