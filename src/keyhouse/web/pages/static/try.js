// The page that tries a model: from the form to a request, and from the answer's parts to what is seen. Needs the other scripts of the page.
"use strict";

const A_FRAME_MS = 16;

function tryIt(form) {
  const find = (name) => document.querySelector(`[data-${name}]`);
  const [send, stop, state, problem, words, facts] = ["send", "stop", "state", "problem", "answer", "facts"].map(find);
  let running = null;
  let limitName = "max_completion_tokens";

  function current() {
    const { model, message, system, limit } = form.elements;
    const messages = [{ role: "user", content: message.value }];
    if (system.value.trim()) messages.unshift({ role: "system", content: system.value });
    const tokens = Number.parseInt(limit.value, 10);
    return { model: model.value.trim() || "default", messages, ...(tokens > 0 ? { [limitName]: tokens } : {}), stream: true };
  }

  const draw = codeSamples(document.querySelector("[data-samples]"), current);

  function show(text, tone = "") {
    state.textContent = text;
    state.className = `chip ${tone}`;
  }

  function fact(name, value, { tone = "", wide = false } = {}) {
    if (value === null || value === undefined || value === "") return;
    const row = document.createElement("div");
    const [term, said] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    said.textContent = value;
    said.className = tone;
    row.className = wide ? "wide" : "";
    row.append(term, said);
    facts.append(row);
  }

  function tell({ headers, usage, first, whole, reason }) {
    facts.replaceChildren();
    const head = (name) => headers?.get(name);
    fact("Provider", head("x-keyhouse-provider"));
    fact("Model", head("x-keyhouse-model"));
    fact("Tokens in", tokens(usage?.prompt_tokens));
    fact("Tokens out", tokens(usage?.completion_tokens));
    fact("First token", first && seconds(first));
    fact("In all", whole && seconds(whole));
    fact("Enforced", head("x-keyhouse-enforced"), { tone: "warn", wide: true });
    fact("Dropped", head("x-keyhouse-params-dropped"), { tone: "warn", wide: true });
    if (reason && reason !== "stop") fact("Ended because of", reason === "length" ? "the limit of tokens" : reason.replaceAll("_", " "), { tone: "warn" });
    fact("Request", head("x-keyhouse-request-id"), { wide: true });
  }

  const tokens = (number) => (Number.isFinite(number) ? number.toLocaleString("en") : null);
  const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

  function complain(error) {
    const parts = [["b", error.title ?? "This page could not read the answer"], ["p", error.message], ["p", error.hint]];
    problem.replaceChildren(...parts.filter(([, text]) => text).map(([tag, text]) => Object.assign(document.createElement(tag), { textContent: text })));
    if (error.link) problem.append(error.link);
    problem.hidden = false;
  }

  function begin() {
    running = new AbortController();
    problem.hidden = true;
    words.replaceChildren();
    words.classList.add("writing");
    facts.replaceChildren();
    show("Waiting for the first token…", "busy");
    say("Waiting for the answer");
    words.closest("section").scrollIntoView({ block: "nearest" });
    stop.hidden = false;
    if (document.activeElement === send) stop.focus();
    send.hidden = true;
  }

  function end(text, tone, seen) {
    const hadFocus = document.activeElement === stop;
    running = null;
    words.classList.remove("writing");
    send.hidden = false;
    if (hadFocus) send.focus();
    stop.hidden = true;
    show(text, tone);
    tell(seen);
    const out = tokens(seen.usage?.completion_tokens);
    const complaint = [...problem.children].map((part) => part.textContent.replace(/\.?$/, ".")).join(" ");
    say(`${text}. ${problem.hidden ? (out ? `${out} tokens.` : "") : complaint}`);
  }

  // The page is laid out once a frame, not once a piece: fast models send thousands.
  let pending = "";

  function write(text) {
    if (text && !pending) setTimeout(flush, A_FRAME_MS);
    pending += text;
  }

  function flush() {
    if (!pending) return;
    const follows = words.scrollHeight - words.scrollTop - words.clientHeight < 8;
    if (words.lastChild) words.lastChild.appendData(pending);
    else words.append(pending);
    pending = "";
    if (follows) words.scrollTop = words.scrollHeight;
  }

  async function run() {
    begin();
    const { signal } = running;
    const started = performance.now();
    const seen = { headers: null, usage: null, first: null, whole: null, reason: null };
    const request = { ...current(), stream_options: { include_usage: true } };
    try {
      const answer = await ask(form.action, form.elements.csrf, request, signal);
      seen.headers = answer.headers;
      limitName = "max_tokens" in request ? "max_tokens" : limitName;
      for await (const part of partsOf(answer)) {
        if ((part.text || part.thinking) && seen.first === null) seen.first = performance.now() - started;
        if (part.text) show("Answering…", "busy");
        else if (part.thinking) show("Thinking…", "busy");
        write(part.text);
        seen.usage = part.usage ?? seen.usage;
        seen.reason = part.reason ?? seen.reason;
      }
      seen.whole = performance.now() - started;
      flush();
      if (!words.textContent) complain({ title: "The answer is empty", hint: "The model may have used all its tokens for thinking. Raise or clear the limit." });
      end("Complete", "good", seen);
    } catch (error) {
      seen.whole = performance.now() - started;
      seen.headers ??= error.headers ?? null;
      flush();
      if (signal.aborted) return end("Stopped", "warn", seen);
      const broke = seen.headers && words.textContent;
      complain(error instanceof AskError ? error : new AskError("The answer broke off", { message: "The connection to Keyhouse ended before the answer did." }));
      end(broke ? "Broke off" : "No answer", "bad", seen);
    } finally {
      draw();
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) run();
  });
  for (const kind of ["input", "change"]) {
    form.addEventListener(kind, (event) => {
      if (event.target.name === "model") limitName = "max_completion_tokens";
      draw();
    });
  }
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit(send);
    }
  });
  stop.addEventListener("click", () => running?.abort());
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !event.defaultPrevented) running?.abort(); });
  draw();
}

document.querySelectorAll("[data-try]").forEach(tryIt);
