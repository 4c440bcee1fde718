#!/bin/sh
# A learner's container starts: the engine beside, and in place of this script the learner's Jupyter server.
set -eu

sh /opt/room/nested_cgroups.sh

# The base image comes from the archive in this image, so that a room does not ask a registry for it once for each
# learner. A cell that is run before all this is done waits for it.
engine=$DOCKERLAB_CACHE/engine
(
    dockerlab engine start
    "$engine/packages/usr/bin/docker" --host "unix://$engine/run/docker.sock" load --input "$DOCKERLAB_BUNDLE"
    dockerlab setup
) > /var/log/dockerlab.log 2>&1 &

exec jupyterhub-singleuser --allow-root "$@"
