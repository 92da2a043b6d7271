// Keeps an open page true: asks for the same page again and puts the differences in place.
//
// - Without this script the page is whole, only still.
// - What the reader does stays: focus, scroll, selection, opened details. Only what differs is touched.
// - Nobody looks, nobody asks: a hidden page pauses, and looks at once when it is seen again.
// - A page that cannot be renewed says so, since when, and goes on trying.
// - A page of another version, with a style sheet or script of another name, is loaded anew.
"use strict";

const main = document.getElementById("main");
const pulse = document.getElementById("pulse");
const lost = document.getElementById("lost");
const every = Number(main.dataset.every) * 1000;
const WAIT = 10000;
let ahead = 0; // the server's clock less ours, in ms
let timer = 0;
let asking = false;
let renewed = Date.now();

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function span(seconds) {
  let whole = Math.max(Math.round(seconds), 0);
  let first = UNITS.findIndex(([, size]) => whole >= size);
  if (first < 0) first = UNITS.length - 1;
  const parts = [];
  for (const [name, size] of UNITS.slice(first, first + 2)) {
    const count = Math.floor(whole / size);
    whole -= count * size;
    if (count || !parts.length) parts.push(`${count} ${name}`);
  }
  return parts.join(" ");
}

// The zone stands beside each: logs and the API tell UTC, this page the reader's own.
const TIME = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
const DATE = { day: "numeric", month: "short" };
const FORMS = {
  clock: (today) => (today ? TIME : { ...DATE, ...TIME }),
  brief: () => ({ ...DATE, ...TIME }),
  moment: () => ({ year: "numeric", ...DATE, ...TIME, second: "2-digit" }),
};

function isToday(moment) {
  return moment.toDateString() === new Date(Date.now() + ahead).toDateString();
}

// Tells times in the reader's own zone, and how long ago by the server's clock.
function tell(root) {
  const now = Date.now() + ahead;
  for (const time of root.querySelectorAll("time")) {
    const moment = new Date(time.dateTime);
    let text = time.textContent;
    if (time.className === "lasting") text = span((now - moment) / 1000);
    else if (time.className in FORMS) text = moment.toLocaleString([], FORMS[time.className](isToday(moment)));
    if (time.textContent !== text) time.textContent = text;
    if (time.className !== "lasting") time.title = time.dateTime;
  }
}

// Makes `old` equal to `fresh` and touches nothing that is equal already.
function patch(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  patchChildren(old, [...fresh.childNodes]);
}

// Sections come and go: those with an id are found again by it, wherever they stand now.
function patchChildren(old, fresh) {
  const wanted = new Set(fresh.map((node) => node.id).filter(Boolean));
  for (const node of [...old.childNodes]) if (node.id && !wanted.has(node.id)) node.remove();
  fresh.forEach((node, index) => {
    const here = old.childNodes[index];
    if (!here) old.append(node);
    else if (node.id && here.id !== node.id) old.insertBefore([...old.childNodes].find((one) => one.id === node.id) || node, here);
    if (here && old.childNodes[index] !== node) patch(old.childNodes[index], node);
  });
  while (old.childNodes.length > fresh.length) old.lastChild.remove();
}

function dress(of) {
  return [...of.head.querySelectorAll("script, link[rel=stylesheet]")].map((one) => one.getAttribute("src") || one.getAttribute("href")).join();
}

function take(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const there = fresh.getElementById("main");
  if (!there || !there.dataset.now) throw new Error("not this page");
  if (dress(fresh) !== dress(document)) return location.reload();
  ahead = Date.parse(there.dataset.now) - Date.now();
  tell(fresh);
  if (document.title !== fresh.title) document.title = fresh.title;
  const icon = fresh.getElementById("icon").getAttribute("href");
  if (document.getElementById("icon").getAttribute("href") !== icon) document.getElementById("icon").setAttribute("href", icon);
  patch(main, there);
}

async function look() {
  clearTimeout(timer);
  if (document.hidden || asking) return;
  asking = true;
  try {
    const answer = await fetch(location.pathname, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(WAIT) });
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    take(await answer.text());
    renewed = Date.now();
    lost.hidden = true;
    lost.textContent = "";
  } catch (error) {
    const since = new Date(renewed).toLocaleTimeString();
    const words = `Connection lost. What you see is from ${since}; it is tried again every ${Math.round(every / 1000)} s.`;
    if (lost.textContent !== words) lost.textContent = words;
    lost.hidden = false;
  }
  asking = false;
  beat();
  timer = setTimeout(look, every);
}

function beat() {
  pulse.textContent = document.hidden ? "paused" : lost.hidden ? "live" : "lost";
  pulse.className = document.hidden || !lost.hidden ? "paused" : "";
  pulse.hidden = false;
}

ahead = main.dataset.now ? Date.parse(main.dataset.now) - Date.now() : 0;
tell(document);
setInterval(() => { if (!document.hidden) tell(main); }, 1000);
if (every) {
  beat();
  timer = setTimeout(look, every);
  document.addEventListener("visibilitychange", () => { beat(); if (!document.hidden) look(); });
  window.addEventListener("online", look);
}
