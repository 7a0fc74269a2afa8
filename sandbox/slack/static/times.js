// Writes times in the reader's own zone: <time data-epoch data-format>, with Slack's {date_short}-style words.

const pad = (number) => String(number).padStart(2, "0");
const dayOf = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;

function near(date, otherwise) {
  const days = Math.round((new Date(dayOf(new Date())) - new Date(dayOf(date))) / 86400000);
  return { 0: "today", 1: "yesterday", [-1]: "tomorrow" }[days] ?? otherwise;
}

const words = {
  date_num: dayOf,
  date_slash: (date) => dayOf(date).replaceAll("-", "/"),
  date: (date) => date.toLocaleDateString("en", { month: "long", day: "numeric", year: "numeric" }),
  date_short: (date) => date.toLocaleDateString("en", { month: "short", day: "numeric", year: "numeric" }),
  date_long: (date) => date.toLocaleDateString("en", { weekday: "long", month: "long", day: "numeric", year: "numeric" }),
  date_pretty: (date) => near(date, words.date(date)),
  date_short_pretty: (date) => near(date, words.date_short(date)),
  date_long_pretty: (date) => near(date, words.date_long(date)),
  time: (date) => `${pad(date.getHours())}:${pad(date.getMinutes())}`,
  time_secs: (date) => `${words.time(date)}:${pad(date.getSeconds())}`,
  ago: (date) => {
    const minutes = Math.round((Date.now() - date) / 60000);
    return minutes < 1 ? "just now" : minutes < 60 ? `${minutes} minutes ago` : `${Math.round(minutes / 60)} hours ago`;
  },
};

export function writeTimes(root) {
  for (const mark of root.querySelectorAll("time[data-epoch]")) {
    const date = new Date(Number(mark.dataset.epoch) * 1000);
    mark.textContent = mark.dataset.format.replace(/\{(\w+)\}/g, (all, name) => (words[name] ? words[name](date) : all));
    mark.dateTime = date.toISOString();
    mark.title = date.toLocaleString();
    mark.dataset.written = "1";
  }
}

export const dayWords = (ts) => {
  const date = new Date(Number(ts) * 1000);
  return near(date, words.date_long(date)).replace(/^./, (letter) => letter.toUpperCase());
};
