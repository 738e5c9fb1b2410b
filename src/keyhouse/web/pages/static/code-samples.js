// The same call as code: curl, the openai package for Python, and the one for TypeScript. The key is named, never shown.
"use strict";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
// Its strings are those of Python and TypeScript as well.
const json = (value) => JSON.stringify(value, null, 2);

const SAMPLES = {
  curl: (base, request) => [
    `curl -N ${base}/chat/completions \\`,
    `  -H "Authorization: Bearer $KEYHOUSE_API_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d ${quoted(json(request))}`,
  ].join("\n"),

  python: (base, request) => {
    const messages = request.messages.map((message) => `        {"role": ${json(message.role)}, "content": ${json(message.content)}},\n`);
    const limits = ["max_completion_tokens", "max_tokens"].filter((name) => name in request).map((name) => `    ${name}=${request[name]},\n`);
    return `import os

import openai

client = openai.OpenAI(base_url=${json(base)}, api_key=os.environ["KEYHOUSE_API_KEY"])
stream = client.chat.completions.create(
    model=${json(request.model)},
    messages=[
${messages.join("")}    ],
${limits.join("")}    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()`;
  },

  typescript: (base, request) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${json(base)}, apiKey: process.env.KEYHOUSE_API_KEY });
const stream = await client.chat.completions.create(${json(request)});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}`,
};

// `current()` is the request as it would be sent now. Returns what draws the sample again.
function codeSamples(root, current) {
  const code = root.querySelector("code#sample-code");
  const panel = root.querySelector("[role=tabpanel]");
  const tabs = [...root.querySelectorAll("[role=tab]")];
  const copyButton = root.querySelector("[data-copy]");
  const chosen = () => tabs.find((tab) => tab.getAttribute("aria-selected") === "true");

  function draw() {
    code.textContent = SAMPLES[chosen().dataset.sample](`${location.origin}/v1`, current());
    copyButton.textContent = copyButton.dataset.copyLabel;
  }

  function choose(tab) {
    for (const each of tabs) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", tab.id);
    draw();
  }

  root.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  root.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(chosen()) + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
  return draw;
}
