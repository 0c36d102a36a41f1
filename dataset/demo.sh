#!/bin/sh
# Broker and agent together on the shipped dataset; ends by itself. `make demo` runs it.
set -eu

rate_hz=${RATE:-50}
log=$(mktemp)
broker=
trap 'kill $broker 2>/dev/null || true; rm -f "$log"' EXIT

# In a session of its own: Ctrl-C is for the agent, which drains while the broker still answers.
python -c 'import os; os.setsid(); os.execvp("broker", ["broker", "run", "--listen", "127.0.0.1:0"])' \
    2>"$log" &
broker=$!
trap : INT
trap 'exit 129' HUP TERM
until address=$(grep -o '127\.0\.0\.1:[0-9]*' "$log"); do
    kill -0 "$broker" || { cat "$log" >&2; exit 1; }
    sleep 0.1
done
agent run --simulate "$(dirname "$0")/sensors.csv" --rate "$rate_hz" --broker "$address"
echo
grep ' alarm: ' "$log" || true # why the broker said True
