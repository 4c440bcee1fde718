#!/bin/sh
set -e

echo "migrations are up to date"
exec "$@"
