// Keeps the page fresh: takes it anew every other second while somebody looks, and says so when that fails.
const EVERY_MS = 2000;
const WAIT_MS = 5000;
const told = document.getElementById("connection");
let fresh = Date.now();

async function take() {
  const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [now, then] = [document.getElementById("live"), next.getElementById("live")];
  if (!now || !then) throw new Error("not the page of hb");
  document.title = next.title;
  // Nothing moves under a reader's hand unless something has changed.
  if (now.innerHTML !== then.innerHTML) now.replaceWith(then);
  fresh = Date.now();
}

function say(text) {
  told.hidden = text === "";
  if (told.textContent !== text) told.textContent = text;
}

async function turn() {
  try {
    if (!document.hidden) {
      await take();
      say("");
    }
  } catch {
    const seconds = Math.round((Date.now() - fresh) / 1000);
    say(`This node does not answer. What you see is ${seconds} s old.`);
  }
  setTimeout(turn, EVERY_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) take().then(() => say("")).catch(() => {}); });
setTimeout(turn, EVERY_MS);
