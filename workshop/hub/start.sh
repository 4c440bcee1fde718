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

# A learner who was here before there were copies has the laboratory of that day, and sees all of it as then.
if [ ! -e /lab/notebooks/dockerlab/lab/copies.py ]; then
    export JUPYTERHUB_ROOT_DIR=/lab JUPYTERHUB_DEFAULT_URL=/lab/tree/notebooks/00_start_here.ipynb
    exec jupyterhub-singleuser --allow-root --ServerApp.root_dir=/lab "$@"
fi
exec dockerlab lab --hub -- "$@"
