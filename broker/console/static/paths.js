// Addresses of one agent: of its page, and of its data.

// A path cannot end in "." or "..": browsers take such a part away. No agent's name has a "~".
const inPath = (name) => (/^\.{1,2}$/.test(name) ? `~${name}` : encodeURIComponent(name));

export const agentPage = (name, query = "") => `/agent/${inPath(name)}${query}`;

export const agentData = (name) => `/api/agent/${inPath(name)}`;

/** The agent that a page is about. No agent has a name that cannot be read: as it stands, nobody knows it. */
export function agentOf(pathname) {
  const part = pathname.split("/")[2] ?? "";
  try {
    return decodeURIComponent(part).replace(/^~(?=\.{1,2}$)/, "");
  } catch {
    return part;
  }
}
