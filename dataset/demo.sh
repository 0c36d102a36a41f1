#!/bin/sh
# Broker and agent together on the shipped dataset; ends by itself. `make demo` runs it.
set -eu

rate_hz=${RATE:-50}
log=$(mktemp)
config=$(mktemp)
broker=
trap 'kill $broker 2>/dev/null || true; rm -f "$log" "$config"' EXIT

# Where the live view cannot be drawn, a line for each prediction would hide all others.
printf '[journal]\npredictions = "changes"\n' > "$config"

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
agent run --config "$config" --simulate "$(dirname "$0")/sensors.csv" --rate "$rate_hz" --broker "$address" ${AGENT:+--agent-id "$AGENT"}
echo
grep ' alarm: ' "$log" || true # why the broker said True
cat <<END

Next, see what the predictor says about your own file (docs/getting-started.md, step 2):
  . $(dirname "$(command -v broker)")/activate
  broker evaluate FILE --plot picture.png
END
