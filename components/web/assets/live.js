// Keeps what is on the page up to date, says times as people do, and counts down. Everything works without it.
'use strict';

const SOONEST = 1000, LATEST = 15000, TROUBLED = 5000, PATIENCE = 10000;
const BEHIND = 'This page is not up to date at the moment. It goes on trying.';

// Times -----------------------------------------------------------------------------------------------------------

const near = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: 'auto' });
const exact = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' });

/** By how much the server's clock is ahead of ours: what is left of some time is left by that one. */
const begun = performance.timeOrigin + (performance.getEntriesByType('navigation')[0]?.responseStart ?? 0);
let ahead = (Date.parse(document.documentElement.dataset.now) || begun) - begun;
const serverTime = () => Date.now() + ahead;

/** Ours may be set anew, or stand still for a while; what the server says of seconds is good enough then. */
function correct(said) {
  if (Math.abs(said - serverTime()) > 2000) ahead += said - serverTime();
}

/** "in 4:12", and then whatever is on the page is asked for again. */
function countDown(time) {
  const left = Math.ceil((Date.parse(time.dateTime) - serverTime()) / 1000);
  const two = (number) => String(number).padStart(2, '0');
  const [hours, minutes] = [Math.floor(left / 3600), Math.floor(left / 60) % 60];
  const words = left <= 0 ? 'now' : `in ${hours ? `${hours}:${two(minutes)}` : minutes}:${two(left % 60)}`;
  if (time.textContent !== words) time.textContent = words;
  time.title = exact.format(new Date(time.dateTime));
  if (left <= 0 && !time.dataset.over) {
    time.dataset.over = 'yes';
    time.closest('[data-live]')?.dispatchEvent(new Event('over'));
  }
}

/** "5 minutes ago", and the exact time to whoever points at it; from a week on, the exact time alone. */
function tell(time) {
  const then = new Date(time.dateTime);
  if (Number.isNaN(then.getTime())) return;
  if ('left' in time.dataset) return countDown(time);
  const seconds = (then - serverTime()) / 1000;
  const units = [['second', 1, 60], ['minute', 60, 3600], ['hour', 3600, 86400], ['day', 86400, 604800]];
  const unit = units.find(([, , end]) => Math.abs(seconds) < end);
  const words = !unit ? exact.format(then)
    : Math.abs(seconds) < 45 ? 'just now'
    : near.format(Math.round(seconds / unit[1]), unit[0]);
  if (time.textContent !== words) time.textContent = words;
  time.title = exact.format(then);
}

const tellAll = () => document.querySelectorAll('time').forEach(tell);

// Changes ---------------------------------------------------------------------------------------------------------

/** Makes one element like another, and leaves alone what is alike: focus and selection stay where they are. What has `data-own` is filled
 *  by another script. */
function become(old, other) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== other.data) old.data = other.data;
    return;
  }
  if ('own' in old.dataset) return;
  // The words of a time are this script's; what it stands for is in its attribute.
  if (old.localName === 'time' && old.dateTime === other.dateTime) return;
  for (const { name } of [...old.attributes]) if (!other.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of other.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const isAlike = (one, two) => one.nodeType === two.nodeType && one.localName === two.localName
    && one.dataset?.key === two.dataset?.key;
  let place = old.firstChild;
  for (const wanted of [...other.childNodes]) {
    let found = place;
    while (found && !isAlike(found, wanted)) found = found.nextSibling;
    if (!found) {
      old.insertBefore(document.importNode(wanted, true), place);
      continue;
    }
    // What stands between is gone from the other, or it would have been found.
    while (place !== found) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
    become(found, wanted);
    place = found.nextSibling;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** What is in a list: the state of each thing by its key. */
const things = (part) => new Map([...part.querySelectorAll('[data-kind]')].map((thing) => [thing.dataset.key, thing]));

/** What changed, in words for those who do not see it. */
function news(before, after) {
  const said = [];
  const added = [...after.values()].filter((thing) => !before.has(thing.dataset.key));
  for (const kind of ['post', 'comment', 'ticket']) {
    const count = added.filter((thing) => thing.dataset.kind === kind).length;
    if (count) said.push(count === 1 ? `1 new ${kind}` : `${count} new ${kind}s`);
  }
  for (const [key, state] of before) {
    const thing = after.get(key), now = thing?.dataset.state;
    if (now === state) continue;
    if (thing?.dataset.said) said.push(thing.dataset.said);
    if (now === 'approved') said.push('A comment was published');
    if (now === 'rejected') said.push('A comment was not published');
  }
  return said.join('. ');
}

function keepUpToDate(live) {
  const status = document.getElementById('news');
  let tag = live.dataset.tag, wait = SOONEST, failures = 0, timer, asking;

  function show(html) {
    const states = new Map([...things(live)].map(([key, thing]) => [key, thing.dataset.state]));
    const fresh = document.createElement('section');
    fresh.append(...new DOMParser().parseFromString(html, 'text/html').body.childNodes);
    for (const { name, value } of live.attributes) fresh.setAttribute(name, value);
    become(live, fresh);
    for (const [key, thing] of things(live)) if (!states.has(key)) thing.classList.add('fresh');
    tellAll();
    status.textContent = news(states, things(live));
    live.dispatchEvent(new Event('shown'));
  }

  async function ask() {
    const stop = new AbortController(), late = setTimeout(() => stop.abort(), PATIENCE);
    try {
      const headers = tag ? { 'If-None-Match': tag } : {};
      const answer = await fetch(live.dataset.live, { headers, cache: 'no-store', signal: stop.signal });
      correct(Date.parse(answer.headers.get('Date')));
      if (answer.status === 200) {
        const html = await answer.text();
        tag = answer.headers.get('ETag');
        show(html);
        wait = SOONEST;
      } else if (answer.status === 304) {
        wait = Math.min(wait * 1.5, LATEST);
      } else {
        throw new Error(answer.statusText);
      }
      if (failures && ['', BEHIND].includes(status.textContent)) status.textContent = 'Up to date again';
      document.documentElement.classList.remove('away');
      failures = 0;
    } catch {
      failures += 1;
      wait = Math.min(SOONEST * 2 ** failures, TROUBLED);
      if (failures === 2) {
        status.textContent = BEHIND;
        document.documentElement.classList.add('away');
      }
    } finally {
      clearTimeout(late);
    }
  }

  function later() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(now, wait);
  }

  async function now() {
    if (asking) return;
    asking = true;
    await ask();
    asking = false;
    later();
  }

  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (!document.hidden) now();
  });
  addEventListener('online', now);
  live.addEventListener('over', () => {
    clearTimeout(timer);
    wait = SOONEST;
    now();
  });
  later();
}

// Forms -----------------------------------------------------------------------------------------------------------

/** One press is enough, of forms that come later, too. The key in the form sees to it that more do no harm. */
function sendOnce(event) {
  const { target: form, submitter } = event;
  if (form.ariaBusy === 'true') event.preventDefault();
  form.ariaBusy = 'true';
  if (submitter) submitter.ariaDisabled = 'true';
}

function beReady() {
  document.querySelectorAll('form').forEach((form) => { form.ariaBusy = null; });
  document.querySelectorAll('form button').forEach((button) => { button.ariaDisabled = null; });
}

/** Where one goes on typing is the end. */
function goOn(field) {
  field.setSelectionRange(field.value.length, field.value.length);
}

tellAll();
setInterval(tellAll, 30000);
setInterval(() => document.querySelectorAll('time[data-left]').forEach(countDown), 1000);
addEventListener('submit', sendOnce);
addEventListener('pageshow', beReady);
document.querySelectorAll('[autofocus]').forEach(goOn);
document.querySelectorAll('[data-live]').forEach(keepUpToDate);
// The address that shows what was just written need not be kept, nor shared.
const address = new URL(location);
if (address.searchParams.has('position')) {
  address.searchParams.delete('position');
  history.replaceState(null, '', address);
}
