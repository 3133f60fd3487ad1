# The jobs of a group, run by the group's own task: each starts as soon as those that it needs are
# done and there is room for it. Variables begin with cavatica_: those of the user may have any other
# name, and the jobs are to see them as they are.
# Nothing is waited for that cannot come: a job that fails ends the others, since one that opens a
# pipe which nobody writes to would wait, and cost, for ever.
cavatica_folder=${0%/*}/group
cavatica_running=' ' cavatica_ended=' ' cavatica_done=' ' cavatica_failures=''
cavatica_succeeded=' ' cavatica_timer=''
die() { note "error $1"; exit 1; }
refuse() { die "$1"; }
run_group() {
  { mkdir "$cavatica_folder" && mkfifo "$cavatica_folder/news"; } ||
    die "cannot create a folder for the jobs of the group"
  exec 9<> "$cavatica_folder/news"
  tick &
  cavatica_ticks=$!
  while start_units; [ "$cavatica_running" != ' ' ]; do
    read -r cavatica_unit cavatica_job cavatica_status <&9 || die "cannot wait for the jobs"
    case $cavatica_unit in
      tick)
        look_for_lost
        for cavatica_entry in $cavatica_running; do
          "with_pipes_${cavatica_entry%%.*}" release_pipe
        done
        ;;
      late) end_others ;;
      lost) settle_lost "$cavatica_job" "$cavatica_status" ;;
      *) settle "$cavatica_unit" "$cavatica_job" "$cavatica_status" ;;
    esac
  done
  end_process "$cavatica_ticks"
  if [ -n "$cavatica_failures" ]; then fail; fi
  note members-done
}
# A unit is one job, or several that are connected by pipes.
start_units() {
  cavatica_left=' '
  for cavatica_unit in $cavatica_waiting; do
    "use_unit_$cavatica_unit"
    if is_ready; then
      change_free -1 "$cavatica_takes"
      "with_pipes_$cavatica_unit" make_pipe
      for cavatica_job in $cavatica_jobs; do
        run_one "$cavatica_unit" "$cavatica_job" &
        cavatica_running="$cavatica_running$cavatica_unit.$cavatica_job.$! "
      done
    else
      cavatica_left="$cavatica_left$cavatica_unit "
    fi
  done
  cavatica_waiting=$cavatica_left
}
is_ready() {
  for cavatica_need in $cavatica_after; do
    case $cavatica_done in *" $cavatica_need "*) ;; *) return 1 ;; esac
  done
  # shellcheck disable=SC2086 # one word each
  set -- $cavatica_takes
  for cavatica_amount in $cavatica_free; do
    [ "$1" -le "$cavatica_amount" ] || return 1
    shift
  done
}
# What is free of all that the jobs share, in the same order as what a unit takes of it.
change_free() {
  cavatica_sign=$1 cavatica_now=
  # shellcheck disable=SC2086 # one word each
  set -- $2
  for cavatica_amount in $cavatica_free; do
    cavatica_now="$cavatica_now $((cavatica_amount + cavatica_sign * $1))"
    shift
  done
  cavatica_free=$cavatica_now
}
make_pipe() {
  (folder_of "$1"; rm -f "$1"; mkfifo "$1" || die "cannot create the pipe $1") && return
  end_others
  end_process "$cavatica_ticks"
  exit 1
}
# Who waits for the other end of a pipe goes on, and finds that there is nobody.
open_pipe() { if [ -p "$1" ]; then : <> "$1"; fi; }
# If the job at one end is done, which may never have opened it. Others may be about to do so.
release_pipe() {
  case $cavatica_succeeded in *" $2 "* | *" $3 "*) open_pipe "$1" ;; esac
}
remove_pipe() { rm -f "$1"; }
# Where several may run at a time, what each says is kept apart until it ends.
run_one() {
  if [ -n "$cavatica_apart" ]; then
    (run_job "$2") > "$cavatica_folder/$2.said" 2>&1
  else
    note "member $2"
    (run_job "$2")
  fi
  echo "$1 $2 $?" >&9
}
show() {
  [ -n "$cavatica_apart" ] || return 0
  note "member $1"
  cat "$cavatica_folder/$1.said" >&2
  rm -f "$cavatica_folder/$1.said"
}
run_job() {
  cavatica_place=.
  "use_job_$1"
  prepare_job
  # The parameters are those of `become_command`, which ends this subshell.
  (
    cd "$cavatica_place" || refuse "cannot enter the directory of the job"
    for cavatica_name in $cavatica_thread_variables; do
      export "$cavatica_name=$cavatica_threads"
    done
    become_command "$PWD" "$cavatica_folder/$1.command"
  ) 9>&-
  cavatica_status=$?
  leave_job "$cavatica_status"
  [ "$cavatica_status" -eq 0 ] || return "$cavatica_status"
  [ -z "$cavatica_flawed" ]
}
settle() {
  cavatica_kept=' '
  for cavatica_entry in $cavatica_running; do
    case $cavatica_entry in "$1.$2."*) ;; *) cavatica_kept="$cavatica_kept$cavatica_entry " ;; esac
  done
  cavatica_running=$cavatica_kept
  if [ "$3" -ne 0 ]; then
    # Others of its unit may be about to fail, too, and one of them be the cause.
    if [ -z "$cavatica_failures" ]; then
      (sleep 1; echo late 0 0 >&9) &
      cavatica_timer=$!
    fi
    cavatica_waiting=' ' cavatica_failures="$cavatica_failures $2:$3"
    return
  fi
  show "$2"
  cavatica_succeeded="$cavatica_succeeded$2 "
  case $cavatica_running in
    *" $1."*) "with_pipes_$1" release_pipe ;;
    *)
      cavatica_done="$cavatica_done$1 "
      "use_unit_$1"
      change_free 1 "$cavatica_takes"
      "with_pipes_$1" remove_pipe
      ;;
  esac
}
# Not each process that ends can say so: one may have been killed. What it said before it was gone
# comes before what is said here of it.
tick() { while sleep 1 && kill -0 "$$"; do echo tick 0 0 >&9; done 2> /dev/null; }
look_for_lost() {
  [ -d /proc/self ] || return 0
  for cavatica_entry in $cavatica_running; do
    cavatica_state=Z cavatica_job=${cavatica_entry#*.}
    { read -r _ _ cavatica_state _ < "/proc/${cavatica_entry##*.}/stat"; } 2> /dev/null
    if [ "$cavatica_state" = Z ]; then
      echo "lost ${cavatica_entry%%.*} ${cavatica_job%.*}" >&9
    fi
  done
}
settle_lost() {
  case $cavatica_running in *" $1.$2."*) settle "$1" "$2" 137 ;; esac
}
end_others() {
  for cavatica_entry in $cavatica_running; do
    end_process "${cavatica_entry##*.}"
    "with_pipes_${cavatica_entry%%.*}" open_pipe
  done
  cavatica_ended=$cavatica_running cavatica_running=' '
}
# With all that it has started: stopped first, so that it starts no more meanwhile.
kill_tree() {
  kill -STOP "$1"
  # shellcheck disable=SC2013 # one word each
  for cavatica_child in $(cat "/proc/$1/task/"*/children); do kill_tree "$cavatica_child"; done
  kill -KILL "$1"
}
end_process() { { kill_tree "$1"; wait "$1"; } 2> /dev/null; }
# The cause comes last. One that wrote to a pipe which nobody reads any more is not it, and of others
# it is the one whose files or pipes the others need.
fail() {
  end_process "$cavatica_timer"
  cavatica_first='' cavatica_first_status=0
  for cavatica_entry in $cavatica_failures; do
    cavatica_job=${cavatica_entry%:*} cavatica_status=${cavatica_entry#*:}
    if [ -z "$cavatica_first" ] || is_rather_the_cause; then
      cavatica_first=$cavatica_job cavatica_first_status=$cavatica_status
    fi
  done
  for cavatica_entry in $cavatica_ended; do
    cavatica_job=${cavatica_entry#*.}
    show "${cavatica_job%.*}"
  done
  for cavatica_entry in $cavatica_failures; do
    cavatica_job=${cavatica_entry%:*}
    [ "$cavatica_job" = "$cavatica_first" ] || show "$cavatica_job"
  done
  show "$cavatica_first"
  for cavatica_entry in $cavatica_failures; do
    [ "${cavatica_entry%:*}" = "$cavatica_first" ] || note "failed-too ${cavatica_entry%:*}"
  done
  exit "$cavatica_first_status"
}
is_rather_the_cause() {
  if [ "$cavatica_status" -eq 141 ] || [ "$cavatica_first_status" -eq 141 ]; then
    [ "$cavatica_status" -ne 141 ] || {
      [ "$cavatica_first_status" -eq 141 ] && [ "$cavatica_job" -lt "$cavatica_first" ]
    }
  else
    [ "$cavatica_job" -lt "$cavatica_first" ]
  fi
}
