"use strict";
// The page asks for itself and takes over what has changed, so that nobody has to load it again.
// What is the same stays untouched: focus, selection, and what was unfolded.

const EVERY = 2000;

function take(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
  } else {
    takeAttributes(old, fresh);
    takeChildren(old, fresh);
  }
}

function takeAttributes(old, fresh) {
  for (const name of old.getAttributeNames())
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const name of fresh.getAttributeNames()) old.setAttribute(name, fresh.getAttribute(name));
}

function takeChildren(old, fresh) {
  const known = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  let next = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const same = node.id ? known.get(node.id) : next && !next.id ? next : undefined;
    if (same && same === next) next = next.nextSibling;
    else old.insertBefore(same || node, next);
    if (same) take(same, node);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

async function look() {
  const main = document.querySelector("main");
  const lost = document.getElementById("lost");
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    take(main, document.adoptNode(fresh.querySelector("main")));
    document.title = fresh.title;
    lost.hidden = true;
  } catch {
    const time = lost.querySelector("time");
    if (lost.hidden) time.textContent = new Date().toLocaleTimeString();
    lost.hidden = false;
  }
}

async function follow() {
  while ("live" in document.querySelector("main").dataset) {
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (document.hidden)
      await new Promise((seen) => addEventListener("visibilitychange", seen, { once: true }));
    await look();
  }
}

follow();
