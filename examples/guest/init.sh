#!/bin/busybox sh
# The first program of the guest. The kernel's command line sets `session`:
#   shell     a shell for a person, on the serial line
#   commands  lines that a program sends: each is run, and its exit status follows its output

export PATH=/bin:/sbin HOME=/ TERM=linux ENV=/etc/shrc
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
while read -r module; do insmod "/modules/$module"; done < /modules/order

if [ "$session" = commands ]; then
  stty -echo -onlcr
  printf '\036ready\n'
  while IFS= read -r line; do
    eval "$line" < /dev/null
    printf '\036end %d\n' $?
  done
else
  cat /etc/motd
  setsid cttyhack sh
fi
poweroff -f
