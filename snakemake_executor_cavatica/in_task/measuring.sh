# What a job takes: time by the clock and of CPU, memory, disk, and room for its outputs. What cannot
# be measured here is unknown, and no reason for the job to fail: so there is something to collect
# from the start, and little of this starts a program.
(umask 022; printf 'nothing was measured\n' > "$task/@MEASURED@")
command_status=
# Hundredths of a second, where possible by a clock that nobody sets; 0 if there is none.
read_clock() {
  clock=
  { read -r clock _ < /proc/uptime; } 2> /dev/null
  case $clock in
    *[!0-9.]* | *.*.*) clock=0 ;;
    ?*.??) clock=$((${clock%.*} * 100 + 1${clock#*.} - 100)) ;;
    *) clock=0 ;;
  esac
  if [ "$clock" -eq 0 ] && clock=$(date +%s 2> /dev/null); then clock=${clock}00; fi
  clock=${clock:-0}
}
# All children of a process, whichever of its threads has started them.
find_children() {
  children=
  for thread in "/proc/$1/task/"*/children; do
    ids=
    { read -r ids < "$thread"; } 2> /dev/null
    children=$children${ids:+ $ids}
  done
}
# What a process holds now, and what it has held at most since its program began, in KiB.
read_memory() {
  holds=0 held=0
  {
    while read -r key value _; do
      case $key in
        VmHWM:) held=$value ;;
        VmRSS:) holds=$value; break ;;
      esac
    done < "/proc/$1/status"
  } 2> /dev/null
}
# What processes hold with all that they have started; or one alone, if it was larger before.
add_up() {
  sum=0 alone=0 next=$1
  while [ -n "$next" ]; do
    level=$next next=
    for process in $level; do
      [ "$process" != "$watch" ] || continue
      read_memory "$process"
      sum=$((sum + holds))
      [ "$held" -le "$alone" ] || alone=$held
      find_children "$process"
      next=$next$children
    done
  done
  [ "$alone" -le "$sum" ] || sum=$alone
}
# Notes when more than ever is in use of the disk that the job works on, in KiB: by all that is there,
# so also by its inputs, its image, and other jobs of its task.
look_at_disk() {
  used='' free='' share=
  # In the words of POSIX: device (which may have blanks), blocks, used, free, share in use, mount.
  for word in $(df -Pk "$task" 2> /dev/null); do
    case $word in [0-9]*%) share=$word; break ;; esac
    used=$free free=$word
  done
  case $used in *[!0-9]* | ?????????????*) used= ;; esac
  if [ -n "$share" ] && [ "${used:-0}" -gt "$most_disk" ]; then
    most_disk=$used
    printf '%s\n' "$used" >> "$task/@MEASURED@.disk"
  fi
}
# Notes when the job is seen to hold more than ever: all that process $1 has started, but for this
# watch itself, which ends with that process, and where processes are not seen.
watch_memory() {
  { read -r watch _ < /proc/self/stat; } 2> /dev/null || exit 0
  most=0 looks=0
  while find_children "$1"; do
    case " $children " in *" $watch "*) ;; *) exit 0 ;; esac
    read_clock
    began=$clock
    add_up "$children"
    # Not each small step: there may be a great many.
    if [ "$sum" -gt $((most + most / 256)) ]; then
      most=$sum
      printf '%s\n' "$most" >> "$task/@MEASURED@.memory"
    fi
    # About every 10 s, since it starts a program.
    if [ "$((looks % 20))" -eq 19 ]; then look_at_disk; fi
    read_clock
    rest $((clock - began))
  done
}
# Half a second, less in the beginning, more if a look takes long: no more than a twentieth of a core.
rest() {
  looks=$((looks + 1)) pause=0.5
  if [ "$looks" -le 20 ]; then pause=0.05; fi
  if [ "$1" -gt 2 ]; then pause=$((($1 + 4) / 5)); fi
  sleep "$pause" || sleep 1 || exit 0
}
# If the watch ended by itself, a stranger may have its number by now.
end_watch() {
  watched=
  find_children "$self"
  case " $children " in
    *" $watch "*)
      watched=yes
      find_children "$watch"
      # shellcheck disable=SC2086 # one word each
      { kill -9 "$watch" $children; wait "$watch"; } 2> /dev/null
      ;;
  esac
}
# What a command takes, which may do with its shell what it likes.
measure() {
  started=$(date -u +%Y-%m-%dT%H:%M:%SZ 2> /dev/null) || started=unknown
  self=0
  { read -r self _ < /proc/self/stat; } 2> /dev/null
  most_disk=0
  { look_at_disk; } 2> /dev/null
  read_clock
  began=$clock
  watch_memory "$self" > /dev/null 2>&1 < /dev/null &
  watch=$!
  # Redirected by itself, `times` could end the shell.
  ("$@"; status=$?; { command times > "$task/@MEASURED@.times"; } 2> /dev/null; exit "$status")
  command_status=$?
  read_clock
  end_watch
  wall='' memory=''
  if [ "$began" -gt 0 ] && [ "$clock" -ge "$began" ]; then wall=$((clock - began)); fi
  read_last "$task/@MEASURED@.memory"
  memory=$last
  read_times
  return "$command_status"
}
# The last number that was noted there. A command may have put there what it likes, also something to
# read that never ends.
read_last() {
  last=
  if [ -f "$1" ]; then
    { while read -r noted; do last=$noted; done < "$1"; } 2> /dev/null
  fi
  case $last in 0* | *[!0-9]* | ?????????????*) last='' ;; esac
}
# With what the outputs take by now. Where nobody has watched, only of what was short it is known that
# there was not more in between.
read_disk() {
  disk=
  if [ "$watched" = yes ] || [ "${wall:-1000}" -lt 1000 ]; then
    read_last "$task/@MEASURED@.disk"
    disk=$last
    most_disk=${disk:-0}
    { look_at_disk; } 2> /dev/null
    if [ -n "$disk" ]; then disk=$most_disk; fi
  fi
}
# The second line of `times` is of what the shell has started: 0m0.01s 0m0.00s, or 0m0,012s.
read_times() {
  cpu='' user='' system=''
  [ -f "$task/@MEASURED@.times" ] || return 0
  { { read -r _ && read -r user system; } < "$task/@MEASURED@.times"; } 2> /dev/null
  if to_milliseconds "$user"; then
    cpu=$milliseconds
    if to_milliseconds "$system"; then cpu=$((cpu + milliseconds)); else cpu=''; fi
  fi
}
to_milliseconds() {
  case $1 in
    *[!0-9ms.,]* | *m*m*) return 1 ;;
    ?*m?*[.,]?*s) ;;
    *) return 1 ;;
  esac
  minutes=${1%%m*} seconds=${1#*m} part=${1##*[.,]}
  seconds=${seconds%%[.,]*} part=${part%s}000
  part=${part%"${part#???}"}
  case $minutes:$seconds:$part in
    *[!0-9:]* | 0[!:]* | ?????????*:*:* | *:???*:*) return 1 ;;
  esac
  seconds=${seconds#0}
  milliseconds=$((minutes * 60000 + ${seconds:-0} * 1000 + 1$part - 1000))
}
# Bytes of the outputs, unless they are too many to be worth it.
read_size() {
  size=
  if [ ! -d "$task/out" ]; then size=0
  elif command -v ls > /dev/null 2>&1; then
    # shellcheck disable=SC2012 # the one program that tells sizes without reading the files
    size=$(ls -lnRA "$task/out" 2> /dev/null | add_up_sizes)
  fi
}
add_up_sizes() {
  sum=0 files=0
  while read -r mode _ _ _ bytes _; do
    case $mode:$bytes in
      -*:*[!0-9]* | -*:) ;;
      -*) sum=$((sum + bytes)) files=$((files + 1)) ;;
    esac
    [ "$files" -lt 10000 ] || return 0
  done
  printf '%s' "$sum"
}
to_decimal() {
  decimal=unknown
  if [ -n "$1" ]; then decimal="$(($1 / 100)).$(($1 % 100 / 10))$(($1 % 10))$2"; fi
}
# To be collected, and in the end of the stderr of a job that fails: its task has no outputs.
tell_measured() {
  [ -n "$command_status" ] || return 0
  size=
  [ "$1" -ne 0 ] || read_size
  read_disk
  to_decimal "$wall" ' s'
  line="wall $decimal"
  to_decimal "${cpu:+$((cpu / 10))}" ' s'
  line="$line, cpu $decimal"
  to_decimal "${memory:+$((memory * 100 / 1024))}" ' MiB'
  line="$line, memory $decimal"
  to_decimal "${disk:+$((disk * 100 / 1024))}" ' MiB'
  line="$line, disk $decimal, exit $command_status, outputs ${size:-unknown}${size:+ B}"
  line="$line, started $started."
  [ "$1" -eq 0 ] || note "measured $line"
  write_measured "$line"
}
write_measured() {
  if [ -d "$task/@MEASURED@" ] || [ -L "$task/@MEASURED@" ]; then rm -rf "$task/@MEASURED@"; fi
  { printf '%s\n' "$1" > "$task/@MEASURED@"; } 2> /dev/null
}
# Those of the jobs that share this task; the platform reads no more than 64 KiB.
gather_measured() {
  all='' left_out=0
  for job in $jobs; do
    line=
    { IFS= read -r line < "$jobs_folder/$job/@MEASURED@"; } 2> /dev/null
    # What is no plain text would fail the task, and a command can write there, too.
    case $line in
      *[!abcdefghijklmnopqrstuvwxyzBMTZ0123456789\ .,:-]*) continue ;;
    esac
    if [ -z "$line" ] || [ "${#line}" -gt 200 ]; then continue; fi
    if [ "$((${#all} + ${#line}))" -gt 60000 ]; then
      left_out=$((left_out + 1))
    else
      all="${all}job $job: $line
"
    fi
  done
  if [ "$left_out" -gt 0 ]; then all="${all}left out: $left_out"; fi
  write_measured "$all"
}
# As Snakemake writes it; NA is what takes a closer look at the processes.
write_benchmark() {
  span=NA load=
  if [ -n "$wall" ]; then
    span=$((wall / 360000)):$(printf '%02d:%02d' $((wall / 6000 % 60)) $((wall / 100 % 60)))
    if [ -n "$cpu" ] && [ "$wall" -gt 0 ]; then load=$((cpu * 1000 / wall)); fi
  fi
  row=
  for value in "$wall" "$span" "${memory:+$((memory * 100 / 1024))}" NA NA NA NA NA "$load" \
    "${cpu:+$((cpu / 10))}"; do
    case $value in
      '') value=NA ;;
      *[!0-9]*) ;;
      *) to_decimal "$value" ''; value=$decimal ;;
    esac
    row="$row $value"
  done
  # shellcheck disable=SC2086 # one word each
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
    s h:m:s max_rss max_vms max_uss max_pss io_in io_out mean_load cpu_time $row > "$1"
}
# As the one before, and tells what was measured.
leave() {
  if [ "$1" -ne 0 ]; then show_logs; fi
  tell_undeclared
  tell_measured "$1"
  note "exit-status $1"
  exit "$1"
}
