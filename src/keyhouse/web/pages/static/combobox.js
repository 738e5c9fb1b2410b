// A text field with a list to choose from: type to search, arrows and Enter to choose, Esc to close. Whatever is typed counts as well.
"use strict";

function combobox(root) {
  const input = root.querySelector("[role=combobox]");
  const popup = root.querySelector(".combo-list");
  const list = popup.querySelector("[role=listbox]");
  const none = popup.querySelector(".combo-none");
  const options = [...list.querySelectorAll("[role=option]")];
  let active = null;

  const shown = () => options.filter((option) => !option.hidden);
  const isOpen = () => !popup.hidden;

  function mark(option) {
    active?.classList.remove("active");
    active = option;
    option?.classList.add("active");
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function filter(wanted) {
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    for (const group of list.children) {
      const name = group.firstElementChild.textContent.toLowerCase();
      let any = false;
      for (const option of group.querySelectorAll("[role=option]")) {
        const text = `${name} ${option.dataset.value} ${option.textContent}`.toLowerCase();
        option.hidden = !words.every((word) => text.includes(word));
        any ||= !option.hidden;
      }
      group.hidden = !any;
    }
    list.hidden = shown().length === 0;
    none.hidden = !list.hidden;
    mark(null);
  }

  function open(wanted) {
    filter(wanted);
    options.forEach((option) => option.setAttribute("aria-selected", String(option.dataset.value === input.value)));
    popup.hidden = false;
    input.setAttribute("aria-expanded", "true");
    if (!wanted) mark(options.find((option) => option.dataset.value === input.value) ?? null);
  }

  function close() {
    popup.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(null);
  }

  function choose(option) {
    input.value = option.dataset.value;
    close();
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function move(step) {
    const all = shown();
    const from = all.indexOf(active);
    mark(all[from < 0 ? (step > 0 ? 0 : all.length - 1) : (from + step + all.length) % all.length] ?? null);
  }

  input.addEventListener("input", () => open(input.value));
  input.addEventListener("click", () => { if (!isOpen()) open(""); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (isOpen()) move(event.key === "ArrowDown" ? 1 : -1);
      else open("");
    } else if (event.key === "Enter" && isOpen()) {
      if (event.ctrlKey || event.metaKey) return close();
      event.preventDefault();
      if (active) choose(active);
      else close();
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });
  // The focus stays in the field.
  popup.addEventListener("mousedown", (event) => event.preventDefault());
  popup.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) choose(option);
  });
  root.querySelector("[data-combo-open]").addEventListener("mousedown", (event) => {
    event.preventDefault();
    const wasOpen = isOpen();
    input.focus();
    if (wasOpen) close();
    else open("");
  });
}

document.querySelectorAll("[data-combo]").forEach(combobox);
