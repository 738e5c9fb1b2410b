// Asks the gateway and reads its answer: server-sent events while they come, or a whole answer. Shows nothing itself.
"use strict";

// What went wrong, for people: a title, the sentence that came with it, and what to do.
class AskError extends Error {
  constructor(title, { message = "", hint = "", link = null, headers = null } = {}) {
    super(message);
    Object.assign(this, { title, hint, link, headers });
  }
}

const TITLES = {
  missing_model: "No model was named",
  model_not_found: "There is no such model",
  unsupported_endpoint: "This model does not chat",
  wrong_model_mode: "This model does not chat",
  unsupported_parameter: "The model does not take this",
  unsupported_input: "The model does not take this",
  provider_incomplete: "What is stored does not make a call",
  credentials_unreadable: "The stored credentials cannot be read",
  permission_denied: "You may not do this",
  upstream_blocked: "Keyhouse does not call this address",
  upstream_unreachable: "The provider was not reached",
  upstream_connect_timeout: "The provider was not reached in time",
  upstream_timeout: "The provider did not answer in time",
  upstream_tls_error: "The provider’s certificate was not accepted",
  upstream_busy: "The provider is busy",
  upstream_broken: "The provider broke off",
  upstream_invalid_answer: "What answers is not this provider’s API",
  upstream_redirect: "The provider’s address leads elsewhere",
  upstream_stream_incomplete: "The answer broke off",
  storage_unavailable: "Keyhouse’s database is away",
  malformed_request: "The request cannot be read",
  payload_too_large: "The message is too long",
};
const HINTS = {
  400: "The provider did not accept the request as it is.",
  401: "The provider did not accept the stored credentials. Test them on the page Providers.",
  402: "The provider’s account has no credit left.",
  403: "The stored credentials may not call this model, or the provider refuses them. Test them on the page Providers.",
  404: "The provider does not know this model, or nothing of its API is at the stored address.",
  422: "The provider did not accept the request as it is.",
  429: "The provider asks to be called less often, or the account has no credit left.",
};

// Longer lists of models are those of the field above.
const LONG = 200;

function refusal(status, text, headers) {
  let stated = {};
  try {
    const body = JSON.parse(text);
    stated = typeof body.error === "object" && body.error ? body.error : { message: body.error ?? body.message ?? body.detail };
  } catch { /* Not JSON: no words of ours are in it. */ }
  const said = typeof stated.message === "string" ? stated.message : stated.message ? JSON.stringify(stated.message) : "";
  const own = TITLES[stated.code];
  const wait = headers?.get("retry-after");
  const later = wait && /^\d+$/.test(wait) ? ` Try again in ${wait} seconds.` : "";
  if (own) {
    const [sentence, works] = said.split(" What works: ");
    const list = works?.length < LONG ? `What works: ${works}` : works && "Choose one from the list of models.";
    return new AskError(own, { message: sentence, hint: list ?? later.trim(), headers });
  }
  const hint = HINTS[status] ?? (status >= 500 ? "The provider is out of order. Try again later." : "");
  const title = status ? `The provider refused the call (HTTP ${status})` : "The provider reported an error";
  return new AskError(title, { message: said && `It says: ${said}`, hint: hint + later, headers });
}

function parsed(text, headers) {
  try {
    return JSON.parse(text);
  } catch {
    throw new AskError(TITLES.upstream_invalid_answer, { message: "It sent something else than JSON.", hint: "Look at its address on the page Providers.", headers });
  }
}

async function* dataOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const events = held.split(/\r?\n\r?\n/);
    held = events.pop();
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data) yield data;
    }
  }
}

// Some servers send a list of parts, and a refusal apart from the words.
function wordsOf(said) {
  const content = said?.content ?? said?.refusal ?? "";
  const parts = Array.isArray(content) ? content.map((part) => part?.text ?? part?.refusal) : [content];
  return parts.filter((part) => typeof part === "string").join("");
}

// Yields {text}, {thinking}, {usage}, {reason}; throws AskError for an error event, and where the end does not come.
async function* partsOf(answer) {
  if (!(answer.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    const whole = parsed(await answer.text(), answer.headers);
    yield { text: wordsOf(whole?.choices?.[0]?.message), reason: whole?.choices?.[0]?.finish_reason, usage: whole?.usage };
    return;
  }
  let ended = false;
  for await (const data of dataOf(answer.body)) {
    if (data === "[DONE]") return;
    const chunk = parsed(data, answer.headers);
    if (chunk?.error) throw refusal(0, data, answer.headers);
    const choice = chunk?.choices?.[0];
    ended ||= Boolean(choice?.finish_reason);
    yield {
      text: wordsOf(choice?.delta),
      thinking: Boolean(choice?.delta?.reasoning_content ?? choice?.delta?.reasoning),
      reason: choice?.finish_reason,
      usage: chunk?.usage,
    };
  }
  if (!ended) throw new AskError("The answer broke off", { message: "The connection ended before the answer did.", headers: answer.headers });
}

// Sends one request, as whoever is signed in by now.
async function post(address, csrf, request, signal) {
  if (sessionOver) await renewForms();
  const form = new URLSearchParams({ csrf: csrf.value, request: JSON.stringify(request) });
  let answer;
  try {
    answer = await fetch(address, { method: "POST", body: form, signal, headers: { "hx-request": "true" } });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new AskError("Keyhouse does not answer", { hint: "Check that it runs and that you are online, then send again." });
  }
  const isOver = answer.headers.has("hx-redirect");
  sessionOver = isOver || answer.status === 403;
  if (isOver) throw new AskError("Your session is over", { hint: "What you typed still stands here. Sign in, then send again.", link: signInElsewhere() });
  return answer;
}

// Not every server takes all of OpenAI's parameters; those that refuse what only this page adds are asked again without it.
const OTHERWISE = [
  ["stream_options", (request) => { delete request.stream_options; }],
  ["max_completion_tokens", (request) => {
    request.max_tokens = request.max_completion_tokens;
    delete request.max_completion_tokens;
  }],
];

async function ask(address, csrf, request, signal) {
  for (let tries = 0; ; tries++) {
    const answer = await post(address, csrf, request, signal);
    if (answer.ok) return answer;
    const text = await answer.text();
    // A notice of our own. What a provider answered bears its name.
    if (!answer.headers.has("x-keyhouse-provider") && (answer.headers.get("content-type") ?? "").startsWith("text/html")) {
      const notice = new DOMParser().parseFromString(text, "text/html");
      throw new AskError("Not sent", { message: notice.body.textContent.trim() });
    }
    const refused = [400, 422].includes(answer.status) && OTHERWISE.find(([name]) => name in request && text.includes(name));
    if (!refused || tries === OTHERWISE.length) throw refusal(answer.status, text, answer.headers);
    refused[1](request);
  }
}
