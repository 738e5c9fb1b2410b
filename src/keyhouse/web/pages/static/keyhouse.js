// What the settings pages do beyond links and forms: dialogs, forms that know whether they changed, rows, errors beside their fields.
// Nothing is kept in the browser, and nothing is asked of any other host.
"use strict";

const drawer = () => document.getElementById("drawer");

// Where a screen reader is told what happened. What lies behind an open dialog is not read, so each dialog has a place of its own.
function sayingPlace() {
  const holder = [...document.querySelectorAll("dialog:modal")].pop() ?? document.body;
  let place = holder.querySelector(":scope > [data-said]");
  if (!place) {
    place = Object.assign(document.createElement("p"), { className: "visually-hidden" });
    place.setAttribute("role", "status");
    place.dataset.said = "";
    holder.append(place);
  }
  return place;
}

// Emptied first, so that the same words are read twice.
function say(text) {
  const place = sayingPlace();
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 60);
}

// One-time sign-in: the token stands behind the #, which no server and no log sees.
function signInOnce() {
  const form = document.querySelector("[data-sign-in]");
  const token = new URLSearchParams(location.hash.slice(1)).get("once");
  if (!form || !token) return;
  history.replaceState(null, "", location.pathname);
  form.elements.key.value = token;
  form.requestSubmit();
}

// Forms that know whether anything changed.
const stateOf = (form) => new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string")).toString();

function watchChanges(form) {
  const saves = form.querySelectorAll("[data-save]");
  // What came back unsaved, because no script was there yet, can be saved as it is.
  const before = "typed" in form.dataset ? null : stateOf(form);
  const look = () => saves.forEach((save) => { save.disabled = stateOf(form) === before; });
  form.addEventListener("input", look);
  form.addEventListener("rows", look);
  form.hasChanged = () => stateOf(form) !== before;
  look();
}

// Required marks that follow what is typed: of a group of fields, one is enough.
function watchOneOf(form) {
  const inputs = [...form.querySelectorAll("[data-one-of]")];
  const given = (input) => input.value.trim() !== "" || (input.dataset.stored === "true" && !form.elements[`clear.${input.dataset.field}`]?.checked);
  const look = () => {
    const satisfied = inputs.some(given);
    for (const input of inputs) {
      const mark = input.closest(".field").querySelector(".mark-required");
      if (mark) mark.textContent = satisfied ? "" : "one of these";
    }
  };
  form.addEventListener("input", look);
  look();
}

// Fields that are all given or all left out: once one is, the others are required.
function watchTogether(form) {
  const fields = [...form.querySelectorAll("[data-together]")];
  const input = (field) => field.querySelector("input");
  const look = () => {
    for (const field of fields) {
      const others = fields.filter((other) => other !== field && other.dataset.together === field.dataset.together);
      const given = others.find((other) => input(other).value.trim() !== "");
      const mark = field.querySelector(".mark-required");
      mark.textContent = given ? `required with ${given.querySelector("label").textContent}` : input(field).value.trim() ? "" : "both or neither";
    }
  };
  form.addEventListener("input", look);
  look();
}

// Ways to reach a provider: the fields of the chosen one are shown. The server drops the others once another is saved.
function watchAlternatives(form) {
  const look = () => {
    const chosen = form.elements.alternative?.value;
    form.querySelectorAll("[data-alternative]").forEach((field) => { field.hidden = field.dataset.alternative !== chosen; });
  };
  form.addEventListener("change", look);
  look();
}

// A field that one option of a list alone asks for, the one without a value.
function watchOption(field) {
  const list = document.getElementById(field.dataset.withOption);
  const look = () => { field.hidden = list.value !== ""; };
  list.addEventListener("change", look);
  look();
}

// A field's description is more than one sentence: its mark, and what is wrong with it.
function describe(input, id, is) {
  const ids = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one && one !== id);
  if (is) ids.unshift(id);
  if (ids.length) input.setAttribute("aria-describedby", ids.join(" "));
  else input.removeAttribute("aria-describedby");
}

// Errors beside their fields.
function clearErrors(form) {
  form.querySelectorAll(".field-error").forEach((error) => error.remove());
  form.querySelectorAll("[aria-invalid]").forEach((input) => {
    input.removeAttribute("aria-invalid");
    describe(input, `error-${input.name}`, false);
  });
}

function placeErrors(form) {
  const refusal = form.querySelector("[data-refusal]");
  if (!refusal) return;
  let first = null;
  for (const item of refusal.querySelectorAll("[data-error-for]")) {
    const input = form.elements[item.dataset.errorFor];
    if (!input || !input.closest) continue;
    const error = document.createElement("p");
    error.className = "field-error";
    error.id = `error-${item.dataset.errorFor}`;
    error.textContent = item.textContent;
    input.closest("details")?.setAttribute("open", "");
    input.closest(".field").append(error);
    input.setAttribute("aria-invalid", "true");
    describe(input, error.id, true);
    item.remove();
    first ??= input;
  }
  refusal.scrollIntoView({ block: "nearest" });
  (first ?? refusal).focus();
  first?.closest(".field").scrollIntoView({ block: "nearest" });
}

// Rows of models and headers.
let rows = 1000;

function addRow(name) {
  const list = document.getElementById(name);
  const template = document.getElementById(`${name}-row`);
  const holder = document.createElement("div");
  holder.append(template.content.cloneNode(true));
  holder.innerHTML = holder.innerHTML.replaceAll("__N__", String(rows++));
  const row = holder.firstElementChild;
  list.append(row);
  list.dispatchEvent(new Event("rows", { bubbles: true }));
  return row.querySelector("input");
}

// A model of the provider's own list becomes a row, once.
const isDeclared = (id) => [...document.querySelectorAll("#models [data-leads], #embeddings [data-leads]")].some((input) => input.value === id);

function markPicked(button, word) {
  button.lastChild.textContent = word;
  button.setAttribute("aria-label", `${word}: ${button.dataset.pick}`);
  button.setAttribute("aria-disabled", "true");
}

function pick(button) {
  const { pick: id, into } = button.dataset;
  if (isDeclared(id)) {
    say(`${id} is there already`);
    markPicked(button, "There");
    return;
  }
  const input = addRow(into);
  input.value = id;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  say(`${id} is added`);
  markPicked(button, "Added");
}

function filter(input) {
  const wanted = input.value.trim().toLowerCase();
  for (const item of document.getElementById(input.dataset.filter).children) item.hidden = !item.dataset.name.includes(wanted);
}

function nameRow(row) {
  const id = row.querySelector("[data-names]").value.trim();
  const remove = row.querySelector("[data-remove-row]");
  remove.setAttribute("aria-label", `Remove ${id || remove.dataset.removeRow}`);
}

function removeRow(button) {
  const row = button.closest(".row");
  const list = row.parentElement;
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  (next?.querySelector("input") ?? document.querySelector(`[data-add-row="${list.id}"]`)).focus();
  list.dispatchEvent(new Event("rows", { bubbles: true }));
}

function followId(input) {
  const row = input.closest(".row");
  const name = row.querySelector("[data-follows]");
  if (!name) return;
  if (input === name) name.dataset.own = "true";
  else if (input.hasAttribute("data-leads") && !name.dataset.own) name.value = input.value;
}

// The address of a page that has said what was done: a search and a page of a list stay in it.
function withoutDone() {
  const query = new URLSearchParams(location.search);
  for (const name of ["saved", "test", "deleted", "done"]) query.delete(name);
  return query.size ? `${location.pathname}?${query}` : location.pathname;
}

// Dialogs.
function open(dialog) {
  if (!dialog.open) {
    dialog.showModal();
    sayingPlace();
  }
  // What had the focus is gone where other content took its place.
  else if (!dialog.contains(document.activeElement)) dialog.querySelector("[data-close]").focus();
}

// A dialog whose form was refused stands open again: with the reason, tied to the field that it is about.
function openRefused() {
  const notice = document.querySelector("[data-refused-in]");
  const dialog = notice && document.getElementById(notice.dataset.refusedIn);
  if (!dialog) return;
  dialog.querySelector("h2").after(notice);
  open(dialog);
  const input = dialog.querySelector(`[name="${notice.dataset.refusedField}"]`);
  if (!input) return;
  input.setAttribute("aria-invalid", "true");
  describe(input, notice.id, true);
  input.focus();
}

function mayClose(dialog) {
  const form = dialog.querySelector("form[data-changes]");
  return !form?.hasChanged?.() || window.confirm("Leave without saving what you changed?");
}

function prepare(root) {
  root.querySelectorAll("form[data-changes]").forEach((form) => {
    if (form.hasChanged) return;
    watchChanges(form);
    watchOneOf(form);
    watchTogether(form);
    watchAlternatives(form);
  });
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-close], [data-dialog], [data-add-row], [data-remove-row], [data-copy], [data-overwrite], [data-pick], [data-pause]");
  if (event.target.tagName === "DIALOG" && mayClose(event.target)) event.target.close();
  if (!target) return;
  const data = target.dataset;
  if ("close" in data && mayClose(target.closest("dialog"))) target.closest("dialog").close();
  else if ("dialog" in data) open(document.getElementById(data.dialog));
  else if ("addRow" in data) addRow(data.addRow).focus();
  else if ("pick" in data) pick(target);
  else if ("removeRow" in data) removeRow(target);
  else if ("copy" in data) copy(target);
  else if ("overwrite" in data) target.form.elements.etag.value = target.value;
  else if ("pause" in data) pause(target);
});

// What goes on by itself stands still while somebody wants it to.
function pause(button) {
  const stops = !("paused" in button.dataset);
  button.toggleAttribute("data-paused", stops);
  button.textContent = stops ? "Resume updates" : "Pause updates";
  say(stops ? "Paused" : "Goes on");
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  let word = "Copied";
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
  } catch {
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    if (!document.execCommand("copy")) word = "Selected, not copied";
  }
  button.textContent = word;
  say(word);
}

document.addEventListener("input", (event) => {
  const row = event.target.closest(".row");
  if (row) {
    followId(event.target);
    nameRow(row);
  }
  if ("filter" in event.target.dataset) filter(event.target);
});
document.addEventListener("keydown", (event) => { if (event.key === "Enter" && "filter" in event.target.dataset) event.preventDefault(); });
// A page may hold a dialog open against Esc just once in a while. What a browser closes all the same stands open again at once.
let kept = null;
document.addEventListener("cancel", (event) => {
  if (event.target.tagName !== "DIALOG" || mayClose(event.target)) return;
  event.preventDefault();
  if (!event.cancelable) kept = document.activeElement;
}, true);
document.addEventListener("close", (event) => {
  if (kept) {
    event.target.showModal();
    kept.focus();
    kept = null;
  } else if (event.target === drawer()) {
    event.target.replaceChildren();
  }
}, true);

// A service account's file, dropped or picked: read here, sent with the form.
const MOST_FILE_BYTES = 64 * 1024;

async function takeFile(zone, file) {
  const input = zone.querySelector("textarea");
  if (file.size > MOST_FILE_BYTES) {
    tell(zone.closest("form"), "bad", `${file.name} is no key file: it is larger than ${MOST_FILE_BYTES / 1024} KiB.`);
    return;
  }
  input.value = await file.text();
  input.dispatchEvent(new Event("input", { bubbles: true }));
  say(`${file.name} was read`);
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const zone = event.target.closest?.("[data-drop]");
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) takeFile(zone, event.dataTransfer.files[0]);
  });
}
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-file]") && event.target.files[0]) takeFile(event.target.closest("[data-drop]"), event.target.files[0]);
});

// htmx: parts of pages.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.querySelector("[data-paused]")?.dataset.pause === event.target.id) {
    event.preventDefault();
    return;
  }
  const form = event.target.closest("form[data-changes]");
  if (form) clearErrors(form);
  if (event.target.dataset.says) say(event.target.dataset.says);
});
document.addEventListener("htmx:afterSwap", (event) => {
  prepare(event.target);
  if (event.target === drawer()) open(drawer());
  else if (event.target.matches("[data-sheet]")) document.getElementById("content").focus();
  const form = event.target.closest("form[data-changes]");
  if (form) placeErrors(form);
  for (const button of event.target.querySelectorAll("[data-pick]")) if (isDeclared(button.dataset.pick)) markPicked(button, "There");
  const said = event.target.querySelector("[data-say]");
  if (said) say(said.textContent);
});
const forgetAway = () => document.querySelectorAll("[data-away]").forEach((notice) => notice.remove());
document.addEventListener("htmx:afterOnLoad", forgetAway);
document.addEventListener("htmx:sendError", (event) => {
  // It may have done what it was told, and died before it said so.
  const unknown = event.detail.requestConfig.verb === "get" ? "" : " It is not known whether this was done.";
  const message = `Keyhouse does not answer.${unknown} Check that it runs, then try again.`;
  const place = event.detail.target.closest("[data-messages]") ?? (drawer()?.open && drawer().querySelector("[data-messages]"));
  // What asks by itself every few seconds says so once.
  if (event.target.matches("[hx-trigger^=every]") && document.querySelector("[data-away]")) return;
  forgetAway();
  place?.querySelectorAll?.(":scope > .notice").forEach((old) => old.remove());
  const notice = document.createElement("p");
  notice.className = "notice bad";
  notice.setAttribute("role", "alert");
  notice.dataset.away = "";
  notice.textContent = message;
  (place || document.getElementById("content")).prepend(notice);
});
// A notice in place of a part of the page, where that part could not be made.
document.addEventListener("htmx:beforeSwap", (event) => {
  const target = event.detail.target;
  if (event.detail.xhr.status < 400 || target.matches("[data-messages]")) return;
  event.detail.shouldSwap = false;
  document.querySelectorAll("#content > .notice").forEach((notice) => notice.remove());
  document.getElementById("content").insertAdjacentHTML("afterbegin", event.detail.serverResponse);
});

prepare(document);
document.querySelectorAll("[data-with-option]").forEach(watchOption);
// On a small screen the pages stand in a row, some of them outside of it.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
signInOnce();
openRefused();
const saved = document.querySelector("[data-saved]");
// Loaded anew, a page of a form would send it once more: it would make another key, and end the one that was just copied.
if (saved || document.querySelector("[data-shown-once]")) history.replaceState(null, "", withoutDone());
saved?.focus();
