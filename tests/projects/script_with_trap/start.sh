#!/bin/sh
uvicorn app.main:app --host 0.0.0.0 --port 8000 &
server=$!
trap 'kill -TERM "$server"' TERM
wait "$server"  # a trapped signal ends this one
wait "$server"
