"""What a far shell does to carry the bytes of an image: the scripts, and what their statuses mean.

The folders that an upload leaves are those of pump.py: either end goes on with what the other left.
"""

from __future__ import annotations

from typing import Final

REFUSED: Final = {
    60: ("too-much", "more bytes came than it has room for"),
    61: ("stale", "another file in its place"),
    62: ("past", "the offset is past its end"),
    63: ("shrunk", "it became smaller while it was read"),
    65: ("busy", ""),
    66: ("records", "what came are no records of a sparse stream"),
    67: ("records", "the last record is not whole"),
    68: ("gone", ""),
}
# Opens the volume as descriptor 3 and finds its size; an inode of 0 is a device.
_OPENED: Final = """stat -- "$path" >/dev/null || exit 1
if [ "$inode" = 0 ]; then
  exec 3<"$path"
  size=$(blockdev --getsize64 "$path") || exit 1
else
  [ ! -h "$path" ] && [ -f "$path" ] || exit 61
  exec 3<"$path"
  [ "$(stat -Lc %i /proc/self/fd/3)" = "$inode" ] || exit 61
  size=$(stat -Lc %s /proc/self/fd/3)
fi
"""
DOWNLOAD: Final = (
    """path=$1 inode=$2 start=$3 count=$4 sparse=$5
"""
    + _OPENED
    + """[ "$start" -le "$size" ] || exit 62
end=$size
[ "$count" -lt 0 ] || [ $((start + count)) -ge "$size" ] || end=$((start + count))
send() { dd bs=1M iflag=skip_bytes,count_bytes,fullblock skip="$1" count="$2" status=none <&3 || exit 1; }
echo "ready $size"
if [ "$sparse" = 1 ]; then
  while read -r kind at length head; do
    printf "$head"
    [ "$kind" = H ] || send "$at" "$length"
  done
elif [ "$end" -gt "$start" ]; then
  send "$start" $((end - start))
fi
[ "$inode" = 0 ] || [ "$(stat -Lc %s /proc/self/fd/3)" -ge "$end" ] || exit 63"""
)
UPLOAD: Final = (
    r"""umask 077
folder=$1 part=$2 name=$3 inode=$4 start=$5 limit=$6 grows=$7 sparse=$8 done=$9; shift 9
about=$1 path=$folder/$name
cd -- "$folder" || exit 1
"""
    + _OPENED
    + r"""[ "$start" -le "$size" ] || exit 62
room=$((size - start))
if [ "$grows" = 0 ]; then
  [ "$limit" -le "$room" ] || exit 60
  [ "$limit" -ge 0 ] || limit=$room
fi
synced=0
if [ "$inode" = 0 ]; then
  target=$path done=0
  flock -n 3 || exit 65
  echo "ready 0 0 $size"
else
  target=./$part/image
  [ ! -h "./$part" ] || exit 68
  [ -n "$done" ] || [ -d "./$part" ] || mkdir -- "./$part" || exit 1
  exec 9<"./$part"
  flock -n 9 || exit 65
  if [ -n "$done" ]; then
    [ -f "$target" ] || exit 68
    synced=$done
  else
    rm -f -- "./$part/image" "./$part/done" "./$part/about"
    done=0
    : >"$target" || exit 1
    case $(lsattr -d -- "./$name" 2>/dev/null | sed 's/ .*//') in *C*) chattr +C "$target" 2>/dev/null ;; esac
    printf '%-20d %-20d\n' 0 0 >"./$part/done" && printf %s "$about" >"./$part/about" || exit 1
    sync "./$part/done" "./$part/about" "./$part" .
  fi
  new=$(stat -c %i "$target") generation=$(lsattr -v -d "$target" 2>/dev/null) || generation=0
  set -- $generation
  echo "ready $new ${1:-0} $size"
fi
exec >/dev/null
note() {
  [ "$inode" != 0 ] || return 0
  [ $((done - synced)) -lt 268435456 ] || { sync "$target"; synced=$done; }
  printf '%-20d %-20d\n' "$done" "$synced" 1<>"./$part/done"
}
# Takes at most so many bytes, and says in got how many there were.
take() {
  said=$(dd bs=1M iflag=fullblock,count_bytes count="$1" oflag=seek_bytes seek=$((start + done)) conv=notrunc \
    of="$target" 2>&1 <&4) && well=1 || well=0
  got=$(printf '%s\n' "$said" | sed -n 's/^\([0-9][0-9]*\) byte.*/\1/p')
  got=${got:-0} done=$((done + ${got:-0}))
  note
  [ "$well" = 1 ] || { printf '%s\n' "$said" >&2; exit 1; }
}
zeros() {
  [ "$inode" = 0 ] && [ "$1" -gt 0 ] || return 0
  blkdiscard -z -o $((start + done)) -l "$1" "$target" 2>/dev/null ||
    dd if=/dev/zero bs=1M iflag=fullblock,count_bytes count="$1" oflag=seek_bytes seek=$((start + done)) conv=notrunc \
      of="$target" status=none || exit 1
}
least() { n=$1; [ "$limit" -lt 0 ] || [ $((limit - done)) -ge "$n" ] || n=$((limit - done)); }
exec 4<&0
if [ "$sparse" = 1 ]; then
  while :; do
    set -- $(head -c 9 <&4 | od -An -v -tu1 -w9)
    [ $# -ne 0 ] || break
    [ $# -eq 9 ] || exit 67
    [ "$2" -lt 128 ] || exit 66
    kind=$1
    length=$(((((((((($2 * 256 + $3) * 256 + $4) * 256 + $5) * 256 + $6) * 256 + $7) * 256 + $8) * 256 + $9))))
    [ "$limit" -lt 0 ] || [ "$length" -le $((limit - done)) ] || exit 60
    case $kind in
      72) zeros "$length"; done=$((done + length)); note ;;
      68) while [ "$length" -gt 0 ]; do
            n=$length; [ "$n" -le 16777216 ] || n=16777216
            take "$n"
            [ "$got" -eq "$n" ] || exit 67
            length=$((length - n))
          done ;;
      *) exit 66 ;;
    esac
  done
else
  while least 16777216; [ "$n" -gt 0 ]; do
    take "$n"
    [ "$got" -gt 0 ] || break
  done
  [ "$n" -gt 0 ] || [ "$(head -c 1 <&4 | wc -c)" -eq 0 ] || exit 60
fi
[ "$inode" != 0 ] || sync "$target"
"""
)
# Takes over from the volume what lies around the bytes that came; zeros stay holes.
PREPARE: Final = r"""cd -- "$1" || exit 1
image=./$2/image old=./$3 start=$4
[ -f "$image" ] && [ -f "$old" ] && [ ! -h "$old" ] || exit 61
read -r done synced <"./$2/done" || exit 61
size=$(stat -c %s "$old") end=$((start + done)) aside=0
copy() {
  [ "$1" -ge "$2" ] || dd if="$old" of="$image" bs=1M iflag=skip_bytes,count_bytes,fullblock skip="$1" \
    count=$(($2 - $1)) oflag=seek_bytes seek="$1" conv=notrunc,sparse status=none || exit 1
}
if [ "$5" = 1 ]; then final=$end; else
  final=$size; [ "$end" -le "$final" ] || final=$end
  truncate -s "$final" "$image" || exit 1
  first=$start; [ "$first" -le "$size" ] || first=$size
  copy 0 "$first"
  copy "$end" "$size"
  set -- $(stat -c '%b %B' "$old")
  [ "$size" -eq 0 ] || [ $(($1 * $2)) -lt "$size" ] || aside=$size
fi
truncate -s "$final" "$image" || exit 1
[ "$aside" -eq 0 ] || [ "$final" -gt "$size" ] || fallocate -l "$aside" "$image" ||
  fallocate --posix -l "$aside" "$image" || exit 1
exec sync "$image" """
PUBLISH: Final = r"""cd -- "$1" || exit 1
image=./$2/image
[ "$(stat -c %i "./$3" 2>/dev/null)" != "$5" ] || { rm -rf -- "./$2"; exit 0; }
[ ! -h "./$3" ] && [ "$(stat -c %i "./$3" 2>/dev/null)" = "$4" ] && [ "$(stat -c %i "$image" 2>/dev/null)" = "$5" ] ||
  exit 61
[ "$(stat -c %u:%g "./$3")" = "$(stat -c %u:%g "$image")" ] || chown --reference="./$3" "$image" || exit 1
chmod --reference="./$3" "$image" || exit 1
chcon --reference="./$3" "$image" 2>/dev/null
sync "$image" && mv -fT "$image" "./$3" && sync . || exit 1
rm -rf -- "./$2"
exec sync ."""
_HELD: Final = 'held=0; flock -n -E 73 "{0}" true || held=1; '
KEPT: Final = (
    '[ ! -h "$1" ] && [ -d "$1" ] || exit 1; '
    r'cat /proc/sys/kernel/random/boot_id; printf "\0"; '
    r'cat "$1/about" || exit 1; printf "\0"; cat "$1/done" || exit 1; '
    + _HELD.format("$1")
    + r'printf "\0%s\0" "$held"'
)
CLEAR: Final = """cd -- "$1" || exit 1
[ ! -h "./$2" ] && [ -d "./$2" ] || exit 0
flock -n -E 65 "./$2" rm -rf -- "./$2" || exit
sync ."""
FOUND: Final = (
    r"""cd -- "$1" && find . -mindepth 1 -maxdepth 1 -type d -name "$2" -printf '%f\0' | xargs -0 -r -n 1 sh -c '"""
    + _HELD.format("./$0")
    + r"""printf "%s\0" "$0"; cat "./$0/about" 2>/dev/null; printf "\0%s\0" "$held"'"""
)
