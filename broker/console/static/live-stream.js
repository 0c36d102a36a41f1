// Reads server-sent events by fetch: so a status and a silence are seen, which EventSource hides.

/**
 * Read the stream at `url` until it ends, is silent for too long, or `signal` aborts it.
 * Calls `onTick` with each event's JSON. Returns {status, error}: why it ended.
 */
export async function readStream(url, signal, silentMs, onTick) {
  const silence = new AbortController();
  const both = new AbortController();
  for (const each of [signal, silence.signal]) each.addEventListener("abort", () => both.abort(), { once: true });
  let timer = 0;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), silentMs);
  };
  try {
    alive();
    const answer = await fetch(url, { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: both.signal });
    if (!answer.ok) return { status: answer.status, error: await reason(answer) };
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return { status: 200, error: "" };
      alive();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = dataOf(event);
        if (data) onTick(JSON.parse(data));
      }
    }
  } catch (error) {
    if (error instanceof SyntaxError) return { status: 200, error: "the console sent something that is not JSON" };
    return { status: 0, error: "" };
  } finally {
    clearTimeout(timer);
    both.abort();
  }
}

function dataOf(event) {
  return event
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).trimStart())
    .join("\n");
}

async function reason(answer) {
  try {
    return (await answer.json()).error ?? "";
  } catch {
    return "";
  }
}
