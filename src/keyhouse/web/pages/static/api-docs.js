// Shows /openapi.json, arranged for reading: descriptions stand on the operations' own lines, and an operation without a tag
// (the contract's own has none) belongs with the others of its path.
"use strict";

function arranged(api) {
  // There is one server, this one: no list to choose from.
  delete api.servers;
  for (const path of Object.values(api.paths)) {
    const operations = Object.values(path);
    const tags = operations.map((operation) => operation.tags).find(Boolean);
    for (const operation of operations) {
      operation.tags ||= tags;
      operation.summary = operation.description;
      delete operation.description;
    }
  }
  return api;
}

function shown(api) {
  window.SwaggerUIBundle({
    spec: arranged(api),
    dom_id: "#api",
    deepLinking: true,
    defaultModelsExpandDepth: -1,
    docExpansion: "list",
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
  });
}

// What Swagger UI leaves out, most of it for people who use a keyboard or a screen reader.
function mend() {
  const all = (selector, change) => document.querySelectorAll(selector).forEach(change);
  all(".opblock-summary-control a[href]", (link) => link.removeAttribute("href"));
  all(".microlight:not([tabindex])", (code) => { code.tabIndex = 0; });
  all(".close-modal:not([aria-label])", (button) => button.setAttribute("aria-label", "Close"));
  // A key is nothing for the browser's memory of forms.
  all(".auth-container input:not([autocomplete])", (input) => Object.assign(input, { autocomplete: "off", spellcheck: false }));
  all(".auth-btn-wrapper [aria-label]", (button) => button.removeAttribute("aria-label"));
}

function failed(problem) {
  document.getElementById("api").textContent = `The API document could not be loaded (${problem.message}). Reload the page to try again.`;
}

// Swagger UI's dark colours hang on a class.
const dark = matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

new MutationObserver(mend).observe(document.getElementById("api"), { childList: true, subtree: true });
fetch("openapi.json")
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`status ${response.status}`))))
  .then(shown)
  .catch(failed);
