# One job of a Snakemake workflow, by snakemake-executor-plugin-cavatica.
# Arguments: the workflow's sources as a tar file, then the job's inputs in the order below.
set -u
task=$PWD
root=$task/work
parcels=$task/parcels
show_logs() { :; }
leave() {
  if [ "$1" -ne 0 ]; then show_logs; fi
  tell_undeclared
  note "exit-status $1"
  exit "$1"
}
die() { note "error $1"; leave 1; }
need() {
  lacking=
  for tool; do command -v "$tool" > /dev/null 2>&1 || lacking="$lacking $tool"; done
  [ -z "$lacking" ] || die "the image lacks$lacking: add to it what is missing, or name another one"
}
show() {
  [ -f "$2" ] || return 0
  note "log $1"
  cat "$2" >&2
  printf '\n' >&2
  note "end-log $1"
}
# The names of files that the command makes beside its outputs, and which end with the task. What
# Snakemake writes for itself is none of them, but files of storages may lie there, too.
list_files() {
  find . -path './.snakemake/*' ! -path './.snakemake/storage' ! -path './.snakemake/storage/*' \
    -prune -o -name __pycache__ -prune -o -type f -print
}
note_files() {
  for tool in find sort uniq; do command -v "$tool" > /dev/null 2>&1 || return 0; done
  list_files > "$task/files" 2> /dev/null || rm -f "$task/files"
}
tell_undeclared() {
  [ -f "$task/files" ] || return 0
  (cd "$workdir" && list_files) > "$task/files.now" 2> /dev/null
  LC_ALL=C sort "$task/files" "$task/files" "$task/files.now" | LC_ALL=C uniq -u | {
    told=0
    # So many names are told, of so many characters at most.
    while [ "$told" -lt 50 ] && IFS= read -r name; do
      case $name in *'@TAG@'*) continue ;; ./*) ;; *) continue ;; esac
      [ "${#name}" -le 500 ] || continue
      note "undeclared ${name#./}"
      told=$((told + 1))
    done
  }
  rm -f "$task/files" "$task/files.now"
}
place() { folder_of "$1"; if [ -e "$1" ] || [ -L "$1" ]; then rm -rf "$1"; fi; }
# Parcels hold small inputs under their checksums. These are as old as what the task gets otherwise;
# a tar that cannot leave their times alone gives them another one.
open_parcel() {
  mkdir -p "$parcels" && { tar -xmf "$1" -C "$parcels" 2> /dev/null || tar -xf "$1" -C "$parcels"; } ||
    die "cannot unpack the small inputs"
}
stage_link() { place "$1"; ln -s "$2" "$1" || die "cannot link $1"; }
# A folder becomes a real one with links in it: not every tool follows a link that it is given.
stage_tree() {
  place "$1"
  command -v find > /dev/null 2>&1 || { stage_link "$1" "$2"; return; }
  mkdir "$1" && (
    made=$(cd "$1" && pwd) && cd "$2" &&
      find . -type d -exec sh -c 'for f; do mkdir -p "$0/$f" || exit 1; done' "$made" {} + &&
      find . ! -type d -exec sh -c 'for f; do ln -s "$PWD/$f" "$0/$f" || exit; done' "$made" {} +
  ) || die "cannot link what is in $1"
}
# With the times of what is copied. Blocks are shared until one side is written to, where both the
# file system and cp know how. A cp that cannot keep the owner may complain about that, or fail.
copy='cp -pRL'
if cp --reflink=auto /dev/null "$task/reflink" 2> /dev/null; then copy="$copy --reflink=auto"; fi
rm -f "$task/reflink"
stage_copy() {
  place "$1"
  $copy "$2" "$1" 2> /dev/null || { place "$1"; cp -RL "$2" "$1"; } &&
    chmod -R u+w "$1" || die "cannot copy $1"
}
stage_program() { stage_copy "$@" && chmod +x "$1"; }
stage_unpack() { place "$1"; mkdir "$1" && tar -xf "$2" -C "$1" || die "cannot unpack $1"; }
# At an absolute path, where another task of this machine may have put it already, or is about to.
stage_environment() {
  if [ ! -e "$1" ]; then
    folder_of "$1"
    part=$(mktemp -d "$1.XXXXXX") && tar -xf "$2" -C "$part" ||
      die "cannot unpack the conda environment into $1"
    [ -e "$1" ] || mv "$part" "$1" || die "cannot put the conda environment into $1"
    rm -rf "$part" "${1:?}/${part##*/}"  # into it, if another one was faster
  fi
  [ -e "$1/complete" ] || die "the conda environment in $1 is not complete: remove that folder"
}
# Links become copies while what they point at is still there: other outputs, inputs.
has_links() { [ -d "$1" ] && [ -n "$(find "$1" -type l 2>&1 | head -n 1)" ]; }
resolve() {
  [ ! -d "$1" ] || check_flaws "$1"
  if [ -L "$1" ] || has_links "$1"; then
    copy=$task/copy
    { cp -RL "$1" "$copy" && chmod -R u+w "$copy" && rm -rf "$1" && mv "$copy" "$1"; } ||
      die "cannot copy the output $1, which is a link or holds some"
  fi
}
keep() {
  { mkdir -p "$task/out/$1" && mv "$2" "$task/out/$1/$3"; } || die "cannot collect the output $2"
}
# Of files, those of at most $2 bytes leave besides in one more file, $1, for who fetches all of them.
# Where that does not work, there are still the files.
gather_small() {
  gathered=$task/@SMALL_OUTPUTS@/$1 most=$2
  shift 2
  for file; do
    shift
    [ -f "$file" ] && size=$(wc -c < "$file") && [ "$size" -le "$most" ] && set -- "$@" "$file"
  done
  [ "$#" -gt 1 ] || return 0
  mkdir -p "${gathered%/*}" && tar -cf "$gathered" "$@" || rm -f "$gathered"
}
# What a folder may hold on a machine, but not on the platform, which stores contents by names.
# The slash has to stand within the quotes: after quotes around nothing, bash 5.2 matches no slash.
flaws() {
  find "$1" -exec sh -c 'for f; do
    if [ -L "$f" ] && [ ! -e "$f" ]; then echo "a link that leads nowhere: $f"
    elif [ ! -f "$f" ] && [ ! -d "$f" ]; then echo "neither a file nor a folder: $f"
    elif [ ! -r "$f" ]; then echo "nothing that can be read: $f"
    elif [ -L "$f" ] && [ -d "$f" ]; then
      target=$(cd "$f" && pwd -P)
      case "$(cd "${f%/*}" && pwd -P)/" in
        "${target%/}/"*) echo "a link to a folder that it lies in: $f" ;;
      esac
    fi
  done' sh {} + 2> /dev/null
}
check_flaws() {
  flaw=$(flaws "$1" | head -n 1)
  [ -z "$flaw" ] || die "in the output $1 there is $flaw. The platform cannot store that. Remove \
it in the command, put what it stands for in its place, or make a tar file"
}
# Names that are not UTF-8; LC_ALL, because it is about bytes.
no_text() {
  ascii="$(printf '[\001-\177]')"
  more="$(printf '[\200-\277]')"
  two="$(printf '[\302-\337]')$more"
  three="$(printf '[\340-\357]')$more$more"
  four="$(printf '[\360-\364]')$more$more$more"
  find "$1" | LC_ALL=C sed -nE "/^($ascii|$two|$three|$four)*\$/!p"
}
# Names of folders that the platform refuses; LC_ALL, because letters are A to Z here.
odd_folders() {
  LC_ALL=C find "$1" -type d \( -name '*[!A-Za-z0-9_.-]*' -o -name '__*' \) 2> /dev/null
}
keep_folder() {
  keep "$@"
  odd=$(cd "$task/out/$1/$3" && odd_folders . | head -n 1)
  [ -z "$odd" ] || die "in the output $2 there is the folder $odd: the platform \
stores only folders whose names consist of letters, digits and _ - . and do not start with __. \
Rename it, or make a tar file"
  odd=$(cd "$task/out/$1/$3" && no_text . | head -n 1)
  [ -z "$odd" ] || die "in the output $2 there is the name $odd, which is not UTF-8: the platform \
stores only names that are. Rename it, or make a tar file"
}
# For use within run_job, a subshell: what happens there does not reach the variables out here.
refuse() { note "error $1"; exit 1; }
prepare() { eval "$1"; }
# The first folder if it can be written to, which only trying tells for sure, or else the second.
# Several jobs of a pack may try at once: one removes what the other has written.
writable() {
  if [ -n "$1" ] && (: > "$1/.cavatica-$$") 2> /dev/null; then
    rm -f "$1/.cavatica-$$" 2> /dev/null
    printf '%s' "$1"
  else
    mkdir -p "$2" && printf '%s' "$2"
  fi
}
# The locale in which letters are those of UTF-8, if the image has it under one of its names.
utf8_locale() (
  for known in $(locale -a 2> /dev/null); do
    case $known in C.UTF-8 | C.utf8) printf '%s' "$known"; return ;; esac
  done
)
as_filling() { printf '%s\n' "$1" | sed 's/[|&\\]/\\&/g'; }
# From one file into another, with words for the temporary and for the working directory. In a
# subshell: the user may have variables of these names.
fill_in() (
  tmpdir=$(as_filling "$TMPDIR") && workdir=$(as_filling "$PWD") &&
    sed "s|$3|$tmpdir|g; s|$4|$workdir|g" "$1" > "$2"
)
