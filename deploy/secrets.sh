#!/bin/sh
# Makes the secrets of deploy/compose.yaml that are not there yet, at random, in deploy/secrets. Put a provider's own secret
# in its file; a file may hold several, one per line, newest first.
set -eu
dir=$(dirname "$0")/secrets
mkdir -p -m 700 "$dir"
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
for name in altur_secret cllr_token ops_token synthflow_secret; do
  [ -s "$dir/$name" ] || { random; echo; } >"$dir/$name"
done
[ -s "$dir/postgres.env" ] || echo "POSTGRES_PASSWORD=$(random)" >"$dir/postgres.env"
chmod 644 "$dir"/*
chmod 600 "$dir/postgres.env" # read by compose, never mounted
