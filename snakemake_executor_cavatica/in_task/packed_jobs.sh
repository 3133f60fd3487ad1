# Several jobs in one task, each in a subshell: nothing of one reaches the others.
run_packed_job() {
  task=$jobs_folder/$1
  root=$task/work
  command=$task/command.sh
  mkdir "$task" && cd "$task" || die "cannot create the folder of the job"
  use_job "$1"
  shift
  run_task "$@"
}
# What a job has copied and left ends with it: the disk may hold that of a few jobs only.
packed_job() {
  (run_packed_job "$@") 2> "$claims/$1/stderr"
  rm -rf "${jobs_folder:?}/$1/work" 2> /dev/null || :
}
# Several of them run at a time; each takes what no other has taken.
lane() {
  for job in $jobs; do
    mkdir "$claims/$job" 2> /dev/null && start "$job" "$@"
  done
}
show_packed_jobs() {
  for job in $jobs; do
    [ -f "$claims/$job/stderr" ] || continue
    note "job $job"
    cat "$claims/$job/stderr" >&2
    printf '\n' >&2
    note "end-job $job"
  done
}
