// Keeps what people typed: asks before a page is left, lets them sign in again where the session ended, and sends no form twice.
"use strict";

let leaving = false;
let sessionOver = false;
const isUnsaved = () => [...document.querySelectorAll("form[data-changes]")].some((form) => form.hasChanged?.());

addEventListener("beforeunload", (event) => { if (!leaving && isUnsaved()) event.preventDefault(); });

// Sent twice, a form shows the second answer alone: a key that the first one made would be seen by nobody.
const FORGET_SENT_MS = 10_000;
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  if ("sent" in form.dataset) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  leaving = Boolean(form.closest("dialog"));
  setTimeout(() => { delete form.dataset.sent; }, FORGET_SENT_MS);
});
// A page that the browser kept and shows again may be one of a session that ended since. Of what was typed there some browsers keep a
// part: all of it goes, which people agreed to when they left.
addEventListener("pageshow", (event) => {
  document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; });
  if (!event.persisted) return;
  leaving = true;
  location.reload();
});

// A notice above a form's fields, in place of what stood there.
function tell(form, tone, ...words) {
  const notice = Object.assign(document.createElement("div"), { className: `notice ${tone}`, tabIndex: -1 });
  const sentence = document.createElement("p");
  sentence.append(...words);
  notice.append(sentence);
  notice.setAttribute("role", "alert");
  notice.dataset.refusal = "";
  form.querySelector("[data-messages]").replaceChildren(notice);
  notice.scrollIntoView({ block: "nearest" });
  notice.focus();
}

function signInElsewhere() {
  return Object.assign(document.createElement("a"), { href: "/sign-in", target: "_blank", rel: "noopener", textContent: "Sign in in another tab" });
}

function tellOver(form) {
  tell(form, "warn", "Your session is over. What you typed still stands here. ", signInElsewhere(), ", then save again.");
}

// The forms of an ended session bear its token. Once somebody signed in again, in another tab, the same page holds the new one.
async function renewForms() {
  let answer;
  try {
    answer = await fetch(location.pathname, { headers: { "hx-request": "true" } });
  } catch {
    return; // The request itself will say that nobody answers.
  }
  sessionOver = answer.headers.has("hx-redirect");
  const token = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[name=csrf]")?.value;
  if (token) for (const input of document.querySelectorAll("[name=csrf]")) input.value = token;
}

document.addEventListener("htmx:beforeOnLoad", (event) => {
  // Signed in anew meanwhile: this page's forms belong to the session before.
  if (event.detail.xhr.status === 403) sessionOver = true;
  const address = event.detail.xhr.getResponseHeader("hx-redirect");
  if (!address) return;
  const form = event.target.closest("form[data-changes]");
  sessionOver = address.startsWith("/sign-in");
  if (sessionOver && form?.hasChanged?.()) {
    event.preventDefault();
    tellOver(form);
  } else {
    leaving = true;
  }
});
document.addEventListener("htmx:confirm", (event) => {
  const form = event.target.closest("form[data-changes]");
  if (!sessionOver || event.detail.verb !== "post") return;
  event.preventDefault();
  renewForms().then(() => (sessionOver && form ? tellOver(form) : event.detail.issueRequest(true)));
});
