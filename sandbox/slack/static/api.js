// Where the page is (who, which channel), and how it asks the server.

export const here = {
  user: document.body.dataset.user,
  channel: document.body.dataset.channel,
  since: document.body.dataset.since,
};

export function query(more = {}) {
  const given = Object.entries({ ...here, ...more }).filter(([, value]) => value !== "");
  return new URLSearchParams(given).toString();
}

export async function act(name, body = {}) {
  const answer = await fetch(`/_control/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Sandbox": "1" },
    body: JSON.stringify({ user: here.user, channel: here.channel, ...body }),
  });
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error ?? `HTTP ${answer.status}`);
  return json;
}

export async function fragment(name, more = {}) {
  const answer = await fetch(`/page/${name}?${query(more)}`);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.text();
}

// Says what went wrong where the person looks, and to screen readers.
export function alarm(problem) {
  const line = document.querySelector("#alarm");
  line.textContent = problem.message ?? String(problem);
  line.hidden = false;
  clearTimeout(alarm.timer);
  alarm.timer = setTimeout(() => (line.hidden = true), 8000);
}
