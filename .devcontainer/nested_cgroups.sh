#!/bin/sh
# For an engine in a container: with version 2 of control groups, a group that has processes cannot have limited groups
# below it. So all processes move into one of their own, and what the engine starts finds room beside it.
# With version 1 there is nothing to do. Safe to run twice.
set -eu

groups=${1:-/sys/fs/cgroup}
[ -f "$groups/cgroup.controllers" ] || exit 0
mkdir -p "$groups/init"
xargs -rn1 < "$groups/cgroup.procs" > "$groups/init/cgroup.procs" || :
sed -e 's/ / +/g' -e 's/^/+/' < "$groups/cgroup.controllers" > "$groups/cgroup.subtree_control"
